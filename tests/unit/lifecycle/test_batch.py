from __future__ import annotations

import pytest

from offload.lifecycle.batch import MOST, Pace, batch_size, room


@pytest.mark.parametrize(
    ("mean", "size"), [(None, 1), (0.0, MOST), (0.002, MOST), (0.1, 20), (0.7, 2), (1.1, 1), (3600.0, 1)]
)
def test_as_many_as_take_two_seconds_are_leased_together(mean, size):
    pace = None if mean is None else Pace(typical=mean, mean=mean)
    assert batch_size(pace, pending=100_000, runners=2) == size


@pytest.mark.parametrize(("typical", "mean", "size"), [(0.6, 1.2, 2), (0.2, 90.0, 2), (1.1, 1.2, 1)])
def test_one_waits_behind_another_that_most_likely_ends_soon(typical, mean, size):
    assert batch_size(Pace(typical=typical, mean=mean), pending=100_000, runners=2) == size


@pytest.mark.parametrize(("pending", "runners", "size"), [(1000, 2, MOST), (40, 2, 10), (3, 2, 1), (0, 0, 1)])
def test_towards_the_end_each_runner_gets_its_share_of_half_of_what_is_left(pending, runners, size):
    assert batch_size(Pace(typical=0.001, mean=0.001), pending=pending, runners=runners) == size


@pytest.mark.parametrize(
    ("batch", "idle", "ahead", "held", "more"),
    [
        (1, 1, 63, 0, 1),
        (1, 0, 63, 1, 0),
        (10, 1, 63, 0, 10),
        (10, 0, 63, 6, 0),
        (10, 0, 63, 5, 5),
        (10, 1, 0, 0, 1),
        (10, 0, 0, 0, 0),
        (1, 1000, 0, 0, MOST),
    ],
)
def test_a_runner_gets_more_when_it_holds_half_of_a_batch_or_has_a_slot_idle(batch, idle, ahead, held, more):
    assert room(batch, idle=idle, ahead=ahead, held=held) == more
