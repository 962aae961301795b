"""Time, as a parameter.

Wall-clock time is for records that people read; it jumps when a laptop wakes up or an administrator
corrects it. Whatever waits or measures uses the monotonic clock. Tests bring their own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Protocol


class Clock(Protocol):
    """Two ways to tell the time, both in seconds."""

    def now(self) -> float:
        """Since the epoch; for records only."""

    def monotonic(self) -> float:
        """Since some moment; never jumps."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """Since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Since some moment."""
        return time.monotonic()


def pauses(first: float = 0.5, most: float = 30.0) -> Iterator[float]:
    """Seconds before each next try: doubling up to ``most``, each shortened by up to a half at random."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, guards nothing
        pause = min(pause * 2, most)
