"""The sizes of a job's runners: as asked, and each further one with more memory than the one before. Pure.

A task that ran out of memory is run again in the next size. All sizes follow from the spec, which doesn't
change once a job is accepted; so whoever asks, and whenever, finds the same.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Final

from offload.model.resources import Resources
from offload.model.spec import LEAST_GROWTH, Spec

MOST_TIMES: Final = 8
"""So many times what was asked is the most where nobody knows how much there is."""
_STEP: Final = 1 << 20
"""Bytes; sizes are multiples of it, but for the first, which was asked, and the last, which is the limit."""


def resources_of(spec: Spec, size: int) -> Resources:
    """What a runner of this size has."""
    return replace(spec.resources, memory=sizes_of(spec)[size]) if size else spec.resources


def sizes_of(spec: Spec) -> tuple[int, ...]:
    """Bytes of memory of each size, as asked first; none where a task isn't given more."""
    asked = spec.resources.memory
    if asked is None or spec.memory_growth < LEAST_GROWTH:
        return ()
    return _sizes(asked, spec.memory_growth, spec.memory_limit or asked * MOST_TIMES)


def can_grow(spec: Spec) -> bool:
    """Whether there is a larger size than what was asked."""
    return len(sizes_of(spec)) > 1


@functools.lru_cache(maxsize=256)
def _sizes(asked: int, growth: float, limit: int) -> tuple[int, ...]:
    sizes = [asked]
    while limit >= sizes[-1] * LEAST_GROWTH:
        sizes.append(min(math.ceil(sizes[-1] * growth / _STEP) * _STEP, limit))
    return tuple(sizes)
