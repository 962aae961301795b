"""Rows to the values that the API shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Row

from offload.model.counts import Counts
from offload.model.growth import resources_of
from offload.model.ids import RunnerId, pool_of_runner, size_of_pool
from offload.model.reasons import Reason
from offload.model.spec import Spec
from offload.model.states import AttemptState, State, Target
from offload.model.use import Use
from offload.wire.api import AttemptView, EventView, JobView, TaskView
from offload.wire.codec import decode, encode


def to_text(value: object) -> str | None:
    """A value as the JSON text of a column; None stays NULL."""
    return None if value is None else encode(value).decode()


def reason_of(text: str | None) -> Reason | None:
    """The reason that a column holds."""
    return None if text is None else decode(text, Reason)


def counts_of(row: Row[Any]) -> Counts:
    """The counters of a job's row."""
    return Counts(
        pending=row.pending,
        running=row.running,
        succeeded=row.succeeded,
        failed=row.failed,
        cancelled=row.cancelled,
    )


def job_view(row: Row[Any], waiting: Mapping[int, Reason]) -> JobView:
    """A job; ``waiting`` is why its tasks wait, by size."""
    waits = row.pending and not row.running
    why = next(iter(waiting.values()), None) if waits else reason_of(row.reason)
    return JobView(
        id=row.id,
        user=row.user,
        spec=decode(row.spec, Spec),
        state=State(row.state),
        target=Target(row.target),
        counts=counts_of(row),
        created=row.created,
        reason=reason_of(row.pause) or why,
        exit_status=row.exit_status,
        started=row.started,
        ended=row.ended,
        results_removed=row.results_removed,
    )


def task_view(
    row: Row[Any], attempts: tuple[AttemptView, ...], waiting: Mapping[int, Reason], *, removed: bool
) -> TaskView:
    """A task with its attempts; ``waiting`` is why the tasks of its job wait, by size."""
    waits = waiting.get(row.size) if row.state == State.PENDING else None
    return TaskView(
        index=row.task,
        state=State(row.state),
        reason=waits or reason_of(row.reason),
        exit_status=row.exit_status,
        results=None if removed else row.results,
        result=None if row.result is None else decode(row.result, dict),
        attempts=attempts,
    )


def rest_state(job: Row[Any]) -> State:
    """The state of the tasks of a job that have not begun."""
    return State(job.rest_state or State.PENDING)


def rest_views(job: Row[Any], indices: Iterable[int], waiting: Mapping[int, Reason]) -> Iterator[TaskView]:
    """Tasks that have not begun: but for their indices they are all alike."""
    state = rest_state(job)
    reason = waiting.get(0) if state is State.PENDING else reason_of(job.rest_reason)
    return (TaskView(index=index, state=state, reason=reason) for index in indices)


def attempt_view(row: Row[Any], spec: Spec) -> AttemptView:
    """One try at a task of a job with this spec."""
    return AttemptView(
        number=row.number,
        runner=row.runner,
        state=AttemptState(row.state),
        started=row.started,
        ended=row.ended,
        exit_status=row.exit_status,
        reason=reason_of(row.reason),
        use=None if row.use is None else decode(row.use, Use),
        memory=memory_of(spec, row.runner),
    )


def memory_of(spec: Spec, runner: str) -> int | None:
    """Bytes that the attempts of a runner may have; None is no limit."""
    return resources_of(spec, size_of_pool(pool_of_runner(RunnerId(runner)))).memory


def event_view(row: Row[Any]) -> EventView:
    """One event."""
    return EventView(
        id=row.id, job=row.job, at=row.at, kind=row.kind, task=row.task, data=decode(row.data, dict)
    )
