"""What a job is, given its tasks; and which one step brings each of its pools nearer to what is wanted.

``plan`` looks at a job and one of its pools and names the step that is due. Each step is idempotent, so a
launcher that dies between two of them just plans again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from offload.lifecycle.breaker import why_pause
from offload.lifecycle.task import CANCELLED_BEFORE_START
from offload.model.counts import Counts
from offload.model.failure import Failure
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State, Target

MAX_RUNNERS: Final = 64
"""Runners wanted for one pool at a time, however many tasks wait, unless the job says how many."""
MAX_EARLY_DEATHS: Final = 5
"""Runners in a row that may end before they say hello."""


def job_state(counts: Counts, target: Target, *, started: bool, fail_fast: int | None = None) -> State:
    """The state that follows from the tasks.

    Args:
        counts: how many stand where.
        target: what is wanted of them.
        started: whether any attempt ever began.
        fail_fast: how many failures end the job; None is none.
    """
    if counts.pending or counts.running:
        return State.RUNNING if started else State.PENDING
    if _enough_failed(counts, fail_fast):  # the rest was cancelled because of that
        return State.FAILED
    if counts.cancelled and (target is Target.CANCELLED or not counts.failed):
        return State.CANCELLED
    return State.FAILED if counts.failed else State.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What is known of a job's pool.

    Attributes:
        size: of its runners; 0 is as asked.
        pending: tasks of its size that wait.
        running: tasks of its size that run.
        wanted: runners that the backend was last told to keep; None before the first time.
        released: whether the backend was told that the pool is done, and agreed.
        early_deaths: runners in a row that ended before they said hello.
        last_words: why the latest of them ended.
        refused: why the cluster rejects the pool for good, if it does.
        max_running: how many tasks the job lets run at a time in this pool, or None.
        fail_fast: how many failed tasks end the job, or None.
        failures: how its first tasks failed, as long as the breaker may trip.
    """

    size: int = 0
    pending: int = 0
    running: int = 0
    wanted: int | None = None
    released: bool = False
    early_deaths: int = 0
    last_words: str = ""
    refused: Reason | None = None
    max_running: int | None = None
    fail_fast: int | None = None
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Move the target to cancelled: enough tasks have failed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Move the target to paused, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class CancelPending:
    """End the pool's tasks that wait as cancelled, for this reason."""

    reason: Reason = CANCELLED_BEFORE_START


@dataclass(frozen=True, slots=True)
class FailPending:
    """End the pool's tasks that wait as failed, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Scale:
    """Tell the backend how many runners are wanted."""

    runners: int


@dataclass(frozen=True, slots=True)
class Release:
    """Tell the backend that the pool is done."""


Step = GiveUp | Pause | CancelPending | FailPending | Scale | Release


def plan_all(
    state: State, target: Target, counts: Counts, pools: Iterable[PoolFacts]
) -> Iterator[tuple[int, Step]]:
    """The step that is due for each pool, by its size; nothing where all is as wanted.

    What ``max_running`` allows is for all pools together, and the smaller size has its share first: its
    runners are there already, and a runner of a larger one would only wait beside them.

    Args:
        state: of the job.
        target: what is wanted of it.
        counts: of all its tasks.
        pools: the smallest size first.
    """
    taken = 0
    for pool in pools:
        limit = pool.max_running
        left = pool if limit is None else replace(pool, max_running=max(0, limit - taken))
        taken += pool.pending + pool.running
        if step := plan(state, target, replace(counts, pending=pool.pending, running=pool.running), left):
            yield pool.size, step


def plan(state: State, target: Target, counts: Counts, pool: PoolFacts) -> Step | None:
    """The one step that is due for a pool; None when all is as wanted.

    Args:
        state: of the job.
        target: what is wanted of it.
        counts: of its tasks; those that wait and those that run are of the pool's size.
        pool: the pool.
    """
    if state.is_terminal:
        return None if pool.released else Release()
    gave_up = _enough_failed(counts, pool.fail_fast)
    if gave_up and target is not Target.CANCELLED:
        return GiveUp()
    if target is Target.PAUSED:
        return _scale(counts.running, pool)
    if counts.pending and target is Target.CANCELLED:
        return CancelPending(_gave_up(counts)) if gave_up else CancelPending()
    return _hold_back(counts, pool) or _scale(counts.pending + counts.running, pool)


def _hold_back(counts: Counts, pool: PoolFacts) -> FailPending | Pause | None:
    """What to do with tasks that wait if they can't run, or had better not."""
    if counts.pending and pool.refused:
        return FailPending(pool.refused)
    if counts.pending and pool.early_deaths >= MAX_EARLY_DEATHS:
        return FailPending(_no_runner_survives(pool))
    why = why_pause(pool.failures)
    return Pause(why) if why else None


def _scale(work: int, pool: PoolFacts) -> Scale | None:
    wanted = min(work, MAX_RUNNERS if pool.max_running is None else pool.max_running)
    return None if wanted == pool.wanted else Scale(wanted)


def _enough_failed(counts: Counts, fail_fast: int | None) -> bool:
    return fail_fast is not None and counts.failed >= fail_fast


def _gave_up(counts: Counts) -> Reason:
    failed = "1 task had" if counts.failed == 1 else f"{counts.failed} tasks had"
    return Reason(
        code=ReasonCode.CANCELLED,
        sentence=f"The job gave up (--fail-fast) before this task began, because {failed} failed.",
    )


def _no_runner_survives(pool: PoolFacts) -> Reason:
    return Reason(
        code=ReasonCode.RUNNER_LOST,
        sentence=f"{pool.early_deaths} runners in a row ended before they could begin.",
        words=pool.last_words,
    )
