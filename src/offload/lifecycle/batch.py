"""How many leases one runner may hold at a time.

A lease call costs the launcher some milliseconds, as much as a short task takes. So a runner is given
several short tasks at once: as many as take :data:`SPAN` together, judged by the mean of the latest ones.
Where most tasks are short but a few take very long, it is two: one waits while the other runs, so that the
runner need not ask in between. What waits behind a task that proves to be a long one is given back. Towards
the end a runner gets its share of half of what is left, so that all come to the end together; this is guided
self-scheduling (Polychronopoulos and Kuck 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from offload.wire.runner_protocol import LONG

SPAN: Final = 2.0
"""Seconds of work that a runner may hold."""
MOST: Final = 64
"""Leases that a runner may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds that the latest attempts of a job took.

    Attributes:
        typical: half of them took longer.
        mean: of all.
    """

    typical: float
    mean: float


def batch_size(pace: Pace | None, *, pending: int, runners: int) -> int:
    """How many leases a runner may hold, one at least.

    Args:
        pace: of the job's latest attempts; None when too few have succeeded.
        pending: tasks of the job that wait.
        runners: how many work for it.
    """
    if pace is None:
        return 1
    quick = MOST if pace.mean * MOST <= SPAN else int(SPAN / pace.mean)
    if pace.typical <= LONG:
        quick = max(2, quick)
    share = pending // (2 * max(1, runners))
    return max(1, min(quick, share))


def room(batch: int, *, idle: int, ahead: int, held: int) -> int:
    """How many more leases a runner is given now: none while it holds half a batch and has no slot idle.

    Args:
        batch: how many it may hold.
        idle: slots without work.
        ahead: leases that it would take beyond those.
        held: how many it holds.
    """
    if not idle and 2 * held > batch:
        return 0
    return min(max(idle, batch - held), idle + ahead, MOST)
