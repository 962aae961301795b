"""What was used, and what would have fitted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offload.model.usage import MARGIN, summarise
from offload.model.use import Use

MIB = 1 << 20
uses = st.builds(
    Use,
    wall=st.just(0.0) | st.floats(0.01, 1e6),
    cpu=st.floats(0, 1e6),
    peak_memory=st.integers(0, 1 << 45),
)


def test_nothing_is_known_of_nothing():
    assert summarise([]) is None


def test_spreads_are_those_of_the_attempts():
    usage = summarise([Use(wall=float(n), cpu=n / 2, peak_memory=n * MIB) for n in range(1, 101)], jobs=3)
    assert (usage.attempts, usage.jobs) == (100, 3)
    assert (usage.wall.p50, usage.wall.p95, usage.wall.max) == (50, 95, 100)
    assert (usage.cpus.p50, usage.cpus.max) == (0.5, 0.5)
    assert usage.memory.max == 100 * MIB
    assert (usage.fits_cpus, usage.fits_memory) == (0.5, 128 * MIB)


@given(st.lists(uses, min_size=1, max_size=30))
def test_what_fits_has_a_margin_over_everything_that_was_used(found):
    usage = summarise(found)
    for use in found:
        assert usage.fits_memory >= use.peak_memory * MARGIN
        assert usage.fits_cpus >= use.cpu / max(use.wall, 1.0) - 0.1
    assert usage.memory.p50 <= usage.memory.p95 <= usage.memory.max


def test_an_attempt_that_was_ended_for_its_memory_asks_for_half_as_much_again():
    usage = summarise([Use(wall=1.0, peak_memory=100 * MIB)], killed_at=256 * MIB)
    assert usage.fits_memory == 384 * MIB


def test_an_attempt_that_is_over_at_once_asks_for_no_fleet_of_cpus():
    usage = summarise([Use(wall=0.001, cpu=0.03, peak_memory=MIB)])
    assert (usage.fits_cpus, usage.cpus.max < 0.1) == (0.5, True)
