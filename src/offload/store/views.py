"""Rows to the values that the API shows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from offload.model.counts import Counts
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


def job_view(row: Row[Any], waiting: str | None = None) -> JobView:
    """A job; ``waiting`` is why its tasks wait."""
    pending = row.state == State.PENDING
    return JobView(
        id=row.id,
        user=row.user,
        spec=decode(row.spec, Spec),
        state=State(row.state),
        target=Target(row.target),
        counts=counts_of(row),
        created=row.created,
        reason=reason_of(row.pause or (waiting if pending else row.reason)),
        exit_status=row.exit_status,
        started=row.started,
        ended=row.ended,
        results_removed=row.results_removed,
    )


def task_view(
    row: Row[Any], attempts: tuple[AttemptView, ...], waiting: str | None, *, removed: bool
) -> TaskView:
    """A task with its attempts; ``waiting`` is why the tasks of its job wait."""
    pending = row.state == State.PENDING
    return TaskView(
        index=row.task,
        state=State(row.state),
        reason=reason_of((waiting or row.reason) if pending else row.reason),
        exit_status=row.exit_status,
        results=None if removed else row.results,
        result=None if row.result is None else decode(row.result, dict),
        attempts=attempts,
    )


def rest_state(job: Row[Any]) -> State:
    """The state of the tasks of a job that have not begun."""
    return State(job.rest_state or State.PENDING)


def rest_view(job: Row[Any], index: int, waiting: str | None) -> TaskView:
    """A task that has not begun."""
    state = rest_state(job)
    return TaskView(
        index=index,
        state=state,
        reason=reason_of(waiting if state is State.PENDING else job.rest_reason),
    )


def attempt_view(row: Row[Any]) -> AttemptView:
    """One try."""
    return AttemptView(
        number=row.number,
        runner=row.runner,
        state=AttemptState(row.state),
        started=row.started,
        ended=row.ended,
        exit_status=row.exit_status,
        reason=reason_of(row.reason),
        use=None if row.use is None else decode(row.use, Use),
    )


def event_view(row: Row[Any]) -> EventView:
    """One event."""
    return EventView(
        id=row.id, job=row.job, at=row.at, kind=row.kind, task=row.task, data=decode(row.data, dict)
    )
