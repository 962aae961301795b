"""What many attempts used, and the request that would have fitted them. Pure.

A request fits when the largest attempt would have had a margin. Memory is a cliff: a task that goes over it
is ended, so the margin is a quarter, and a half above the limit where an attempt was ended for it. CPUs are
none: they are what the busiest attempt kept busy on average, rounded up to a half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from offload.model.use import Use

MARGIN: Final = 1.25
_AFTER_A_KILL: Final = 1.5
_STEP: Final = 64 << 20
"""Bytes; requests are multiples of it."""
_HALF: Final = 2
_SHORTEST: Final = 1.0
"""Seconds; what an attempt that is over sooner kept busy, and for how long, is mostly its own start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a number is spread over attempts.

    Attributes:
        p50: half of them stay below.
        p95: 95 % of them stay below.
        max: the largest.
    """

    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What attempts used.

    Attributes:
        attempts: how many were looked at.
        jobs: of how many jobs they were.
        wall: seconds.
        cpus: CPUs kept busy on average, each attempt for itself; one below a second counts as one.
        memory: bytes, the peak of each attempt.
        fits_cpus: the CPUs that would have fitted all of them.
        fits_memory: bytes that would have fitted all of them, with a margin.
    """

    attempts: int
    jobs: int
    wall: Spread
    cpus: Spread
    memory: Spread
    fits_cpus: float
    fits_memory: int


def summarise(uses: Sequence[Use], *, jobs: int = 1, killed_at: int = 0) -> Usage | None:
    """What these attempts used; None without any.

    Args:
        uses: of each attempt.
        jobs: of how many jobs they are.
        killed_at: the largest memory limit in bytes for which an attempt was ended; 0 is none.
    """
    if not uses:
        return None
    cpus = _spread([use.cpu / max(use.wall, _SHORTEST) for use in uses])
    memory = _spread([float(use.peak_memory) for use in uses])
    return Usage(
        attempts=len(uses),
        jobs=jobs,
        wall=_spread([use.wall for use in uses]),
        cpus=cpus,
        memory=memory,
        fits_cpus=max(1, math.ceil(cpus.max * _HALF - 0.1)) / _HALF,
        fits_memory=_rounded(max(memory.max * MARGIN, killed_at * _AFTER_A_KILL)),
    )


def _rounded(size: float) -> int:
    return max(1, math.ceil(size / _STEP)) * _STEP


def _spread(numbers: list[float]) -> Spread:
    numbers.sort()

    def at(share: float) -> float:
        return numbers[max(0, math.ceil(share * len(numbers)) - 1)]

    return Spread(p50=at(0.5), p95=at(0.95), max=numbers[-1])
