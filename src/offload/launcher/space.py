"""Whether the launcher's disk is full, as far as the latest calls tell.

Runners repeat what found no space every few seconds, so people would wait without knowing why. It can't be
kept in the store, which may be on the same disk.
"""

from __future__ import annotations

import math
from typing import Final

from offload.launcher.clock import Clock
from offload.model.reasons import Reason, ReasonCode

_HOLDS: Final = 15.0
"""Seconds; nobody who found no space waits longer before trying again."""


class Space:
    """Remembers when somebody last found none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lacked = -math.inf

    def lacks(self) -> None:
        """Somebody found no space just now."""
        self._lacked = self._clock.monotonic()

    @property
    def reason(self) -> Reason | None:
        """Why jobs that run don't get on; None while there seems to be space."""
        if self._clock.monotonic() - self._lacked > _HOLDS:
            return None
        return Reason(
            code=ReasonCode.OUT_OF_DISK,
            sentence="The launcher's disk is full: what the job prints and makes waits until there is space.",
        )
