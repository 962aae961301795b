"""How many leases one runner may hold at a time.

A lease call costs the launcher some milliseconds, as much as a short task takes. So a runner is given several
short tasks at once: as many as take :data:`SPAN`, judged by the slowest of the latest ones, because a task
that is leased behind a long one waits for it. Towards the end a runner gets its share of half of what is
left, so that all come to the end together; this is guided self-scheduling (Polychronopoulos and Kuck 1987).
"""

from __future__ import annotations

from typing import Final

SPAN: Final = 1.0
"""Seconds of work that a runner may hold."""
MOST: Final = 64
"""Leases that a runner may hold."""


def batch_size(slowest: float | None, *, pending: int, runners: int) -> int:
    """How many leases a runner may hold, one at least.

    Args:
        slowest: seconds that the slowest of the job's latest attempts took; None when too few have succeeded.
        pending: tasks of the job that wait.
        runners: how many work for it.
    """
    if slowest is None:
        return 1
    quick = MOST if slowest * MOST <= SPAN else int(SPAN / slowest)
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
