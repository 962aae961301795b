from __future__ import annotations

from fakes.clock import SetClock
from offload.launcher.space import Space
from offload.model.reasons import ReasonCode


def test_a_full_disk_is_told_for_as_long_as_somebody_finds_no_space():
    clock = SetClock()
    space = Space(clock)
    assert space.reason is None
    space.lacks()
    clock.pass_(10.0)
    assert space.reason.code is ReasonCode.OUT_OF_DISK
    space.lacks()
    clock.pass_(10.0)
    clock.jump(-3600.0)
    assert "disk is full" in space.reason.sentence
    clock.pass_(10.0)
    assert space.reason is None
