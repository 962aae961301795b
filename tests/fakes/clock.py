"""A clock that the test sets."""

from __future__ import annotations


class SetClock:
    """Stands still until it is moved; ``pass_`` moves both clocks, ``jump`` only the wall clock."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def pass_(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        self._now += seconds
