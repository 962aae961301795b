"""Tasks and their leases: who executes which, how that ends, and how they are shown.

Whatever happens to a task goes through :func:`offload.store.changes.apply`. Only the tasks of a job that have
not begun, which have no rows and for which the same holds, are ended all at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, distinct, func, insert, select, update

from offload.errors import LeaseLostError, TaskNotFoundError
from offload.lifecycle.task import (
    CancelRequested,
    Completed,
    Granted,
    Lost,
    Refused,
    Returned,
    TaskEvent,
    TaskFacts,
    decide,
)
from offload.model.ids import RunnerId, job_of_pool, pool_of_runner, size_of_pool
from offload.model.reasons import Reason
from offload.model.states import AttemptState, State, Target
from offload.store import changes, checkpoints, jobs
from offload.store.schema import attempts, tasks
from offload.store.views import attempt_view, rest_state, rest_view, task_view
from offload.wire.api import AttemptView, TaskPage, TaskView
from offload.wire.runner_protocol import Completion, Lease

PAGE: Final = 500


def grant(
    connection: Connection,
    runner: RunnerId,
    *,
    slots: int,
    known: Sequence[str],
    now: float,
    ttl: float,
    ahead: int = 0,
) -> list[Lease]:
    """Leases for a runner: those that it doesn't know it has, then new ones, ``slots`` at most.

    ``ahead`` of them wait for others in the runner. A task that was tried before may take its runner down,
    and others with it, so it never does.
    """
    again = [_lease(connection, row) for row in _held(connection, runner) if row.token not in known]
    room = slots - len(again)
    if room <= 0:
        return again
    job = jobs.row_of(connection, job_of_pool(pool_of_runner(runner)), lock=True)
    if Target(job.target) is not Target.DONE or not job.pending:
        return again
    limit = jobs.spec_of(job).max_running
    room = room if limit is None else min(room, limit - job.running)
    if room <= 0:
        return again
    at_once = max(1, room - ahead)
    return again + _grant_new(connection, job, runner, room=room, at_once=at_once, now=now, ttl=ttl)


def _held(connection: Connection, runner: RunnerId) -> Sequence[Row[Any]]:
    held = select(tasks).where(tasks.c.runner == runner).order_by(tasks.c.position)
    return connection.execute(held.with_for_update()).all()


def _lease(connection: Connection, row: Row[Any]) -> Lease:
    return Lease(
        token=row.token,
        task=row.task,
        attempt=row.attempts,
        expires=row.expires,
        checkpoint=_checkpoint(connection, row),
    )


def _checkpoint(connection: Connection, row: Row[Any]) -> str | None:
    """What earlier attempts have saved, if there were any."""
    return checkpoints.of_task(connection, row.job, row.task) if row.attempts else None


def _grant_new(
    connection: Connection,
    job: Row[Any],
    runner: RunnerId,
    *,
    room: int,
    at_once: int,
    now: float,
    ttl: float,
) -> list[Lease]:
    size = size_of_pool(pool_of_runner(runner))
    may_begin = tasks.c.due.is_(None) | (tasks.c.due <= now)
    pending = select(tasks).where(*_waits(job.id), tasks.c.size == size, may_begin)
    pending = pending.order_by(tasks.c.position).limit(room).with_for_update(skip_locked=True)
    rows = connection.execute(pending).all()
    if len(rows) < room and size == 0 and jobs.begin_tasks(connection, job, room - len(rows)):
        rows = connection.execute(pending).all()
    if any(row.attempts for row in rows):
        rows = rows[:at_once]
    happened = [(row, Granted(secrets.token_urlsafe(18))) for row in rows]
    made = changes.apply(connection, job, happened, now, holder=(runner, now + ttl))
    leases = [
        Lease(
            token=str(change.decision.task.token),
            task=change.row.task,
            attempt=change.decision.task.attempts,
            expires=now + ttl,
            checkpoint=_checkpoint(connection, change.row),
        )
        for change in made
    ]
    if leases:
        connection.execute(insert(attempts), [_attempt(job.id, runner, lease, now) for lease in leases])
    return leases


def next_due(connection: Connection, job: str, now: float) -> float | None:
    """When the next of a job's failed tasks may be tried again; None when none waits for that."""
    waiting = select(func.min(tasks.c.due)).where(*_waits(job), tasks.c.due > now)
    return connection.execute(waiting).scalar()


def _waits(job: str) -> tuple[ColumnElement[bool], ...]:
    return tasks.c.job == job, tasks.c.state == State.PENDING


def _attempt(job: str, runner: RunnerId, lease: Lease, now: float) -> dict[str, Any]:
    return {
        "job": job,
        "task": lease.task,
        "number": lease.attempt,
        "token": lease.token,
        "runner": runner,
        "state": AttemptState.RUNNING,
        "started": now,
    }


def renew(connection: Connection, runner: RunnerId, tokens: Sequence[str], expires: float) -> set[str]:
    """Move the expiry of the leases that the runner still holds, and tell which of ``tokens`` those are."""
    if not tokens:
        return set()
    held = tasks.c.token.in_(tokens) & (tasks.c.runner == runner)
    connection.execute(update(tasks).where(held).values(expires=expires))
    return set(connection.execute(select(tasks.c.token).where(held)).scalars())


def settle(
    connection: Connection,
    runner: RunnerId,
    completions: Sequence[Completion],
    now: float,
    returned: Sequence[str] = (),
) -> list[str]:
    """Count completions, and take back leases that were never begun.

    Every token is settled afterwards, since a void one has nothing left to say.
    """
    told: dict[str, TaskEvent] = {token: Returned(token) for token in returned}
    told |= {one.token: Completed(one.token, one.outcome, one.took, one.age) for one in completions}
    if told:
        held = select(tasks).where(tasks.c.token.in_(told), tasks.c.runner == runner)
        rows = connection.execute(held.with_for_update()).all()
        _happen(connection, [(row, told[row.token]) for row in rows], now)
    return list(told)


def lose(connection: Connection, runner: RunnerId, reason: Reason, now: float) -> int:
    """The runner is no more: its leases are lost; how many."""
    return _happen(connection, [(row, Lost(row.token, reason)) for row in _held(connection, runner)], now)


def _happen(connection: Connection, happened: Sequence[tuple[Row[Any], TaskEvent]], now: float) -> int:
    if not happened:
        return 0
    job = jobs.row_of(connection, happened[0][0].job, lock=True)
    return len(changes.apply(connection, job, happened, now))


def expired(connection: Connection, now: float) -> dict[RunnerId, float]:
    """Runners that hold a lease past its expiry, with the oldest such expiry."""
    # The token has an index: tasks that nobody holds aren't looked at, however many there are.
    late = select(tasks.c.runner, tasks.c.expires).where(tasks.c.token.is_not(None), tasks.c.expires < now)
    found: dict[RunnerId, float] = {}
    for row in connection.execute(late.order_by(tasks.c.expires)):
        found.setdefault(RunnerId(row.runner), row.expires)
    return found


def end_pending(
    connection: Connection, job: str, event: CancelRequested | Refused, now: float, *, size: int = 0
) -> int:
    """End the tasks of one size that wait, as cancelled or as failed; how many.

    What holds for one that has not begun holds for all of them, so they are ended by one statement.
    """
    row = jobs.row_of(connection, job, lock=True)
    waiting = select(tasks).where(*_waits(job), tasks.c.size == size)
    again = connection.execute(waiting.order_by(tasks.c.position).with_for_update()).all()
    ended = 0 if size else _end_unbegun(connection, row, event, now)
    return ended + len(changes.apply(connection, row, [(waits, event) for waits in again], now))


def _end_unbegun(connection: Connection, job: Row[Any], event: CancelRequested | Refused, now: float) -> int:
    decision = decide(TaskFacts(), changes.wish_of(job), event)
    if decision is None:
        return 0
    ended = jobs.end_rest(connection, job, decision.task.state, decision.reason, now)
    jobs.move_tasks(connection, job.id, {State.PENDING: -ended, decision.task.state: ended}, now)
    return ended


def attempt_held(connection: Connection, token: str) -> tuple[str, int, int]:
    """Job, task index and attempt number of a lease.

    Raises:
        LeaseLostError: no runner holds it (any more).
    """
    row = connection.execute(select(tasks).where(tasks.c.token == token)).one_or_none()
    if row is None:
        raise LeaseLostError("This lease isn't held any more.")
    return row.job, row.task, row.attempts


def count_holders(connection: Connection, job: str, size: int) -> int:
    """How many runners of a size hold leases of a job."""
    held = (tasks.c.job == job) & (tasks.c.state == State.RUNNING) & (tasks.c.size == size)
    return int(connection.execute(select(func.count(distinct(tasks.c.runner))).where(held)).scalar_one())


def any_held(connection: Connection) -> bool:
    """Whether any lease is held."""
    return (
        connection.execute(select(tasks.c.task).where(tasks.c.token.is_not(None)).limit(1)).first()
        is not None
    )


def renew_all(connection: Connection, expires: float) -> int:
    """Move the expiry of every lease; how many there are."""
    return connection.execute(
        update(tasks).where(tasks.c.token.is_not(None)).values(expires=expires)
    ).rowcount


def get(connection: Connection, job: str, index: int) -> TaskView:
    """One task with its attempts.

    Raises:
        JobNotFoundError: there is no such job.
        TaskNotFoundError: it has no task with this index.
    """
    row = jobs.row_of(connection, job)
    found = _begun(connection, row, select(tasks).where(tasks.c.job == job, tasks.c.task == index))
    if found:
        return found[0]
    array = jobs.spec_of(row).array
    if index not in array:
        raise TaskNotFoundError(f"Job {job} has no task {index}.", next_step=f"Its tasks are {array}.")
    return rest_view(row, index, jobs.waiting_of(connection, [job]).get(job, {}))


def page(
    connection: Connection,
    job: str,
    *,
    state: State | None = None,
    results: bool = False,
    after: int | None = None,
    limit: int = PAGE,
) -> TaskPage:
    """Tasks in index order, each with its attempts; those that have not begun look as if they had rows.

    Args:
        connection: to read with.
        job: whose tasks.
        state: only those in this state.
        results: only those that made files.
        after: only those above this index.
        limit: at most so many.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row = jobs.row_of(connection, job)
    query = select(tasks).where(tasks.c.job == job).order_by(tasks.c.task).limit(limit + 1)
    if state is not None:
        query = query.where(tasks.c.state == state)
    if results:
        query = query.where(tasks.c.results.is_not(None))
    if after is not None:
        query = query.where(tasks.c.task > after)
    views = _begun(connection, row, query)
    if not results and state in (None, rest_state(row)):
        rest = islice(jobs.spec_of(row).array.since(row.begun).above(after), limit + 1)
        waiting = jobs.waiting_of(connection, [job]).get(job, {})
        views += [rest_view(row, index, waiting) for index in rest]
        views = sorted(views, key=attrgetter("index"))[: limit + 1]
    more = len(views) > limit
    return TaskPage(tasks=tuple(views[:limit]), next=views[limit - 1].index if more else None)


def _begun(connection: Connection, job: Row[Any], query: Any) -> list[TaskView]:
    rows = connection.execute(query).all()
    waiting = jobs.waiting_of(connection, [job.id]).get(job.id, {})
    spec = jobs.spec_of(job)
    tried: dict[int, list[AttemptView]] = {}
    wanted = attempts.c.task.in_([row.task for row in rows])
    found = select(attempts).where(attempts.c.job == job.id, wanted).order_by(attempts.c.number)
    for row in connection.execute(found):
        tried.setdefault(row.task, []).append(attempt_view(row, spec))
    removed = job.results_removed
    return [task_view(row, tuple(tried.get(row.task, ())), waiting, removed=removed) for row in rows]
