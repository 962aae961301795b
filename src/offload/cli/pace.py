"""How fast tasks end, and how long the rest will take.

The rate is that of the last five minutes, because runners come and go. Ends are taken to be independent of
each other, so a count of n has a standard error of the square root of n; the time left is given from one such
error below to one above, and not at all before there is anything to go by.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Final

from offload.cli.text import span

_WINDOW: Final = 300.0
"""Seconds that the rate looks back."""
_ENOUGH: Final = 3
"""Ends before a guess is made."""
_UNITS: Final = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))


class Pace:
    """Watches how many tasks have ended; ``started`` is when the first one began, in seconds."""

    def __init__(self, started: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(started, 0)])

    def see(self, ended: int, now: float) -> None:
        """So many have ended until now."""
        if now > self._seen[-1][0]:
            self._seen.append((now, ended))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:  # noqa: PLR2004  the first and the last
            self._seen.popleft()

    def words(self, left: int) -> tuple[str, str] | None:
        """``12/min`` and ``3m to 5m left``; None when too few have ended to tell."""
        (since, before), (now, ended) = self._seen[0], self._seen[-1]
        recent, took = ended - before, now - since
        if recent < _ENOUGH or not left:
            return None
        rate, error = recent / took, 1 / sqrt(recent)
        soon, late = span(left / (rate * (1 + error))), span(left / (rate * (1 - error)))
        return _rate(rate), f"{soon if soon == late else f'{soon} to {late}'} left"


def _rate(rate: float) -> str:
    """Tasks a second, or in the smallest unit of time in which one ends."""
    seconds, unit = next((one for one in _UNITS if rate * one[0] >= 1), _UNITS[-1])
    return f"{rate * seconds:.{0 if rate * seconds >= 10 else 1}f}/{unit}"  # noqa: PLR2004  two digits
