"""Tasks and their leases: how they end, and how they are shown.

Whatever happens to a task goes through :func:`offload.store.changes.apply`. Only the tasks of a job that have
not begun, which have no rows and for which the same holds, are ended all at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, distinct, func, select, update

from offload.errors import LeaseLostError, TaskNotFoundError
from offload.lifecycle.task import (
    CancelRequested,
    Completed,
    Lost,
    Refused,
    Returned,
    TaskEvent,
    TaskFacts,
    decide,
)
from offload.model.ids import RunnerId
from offload.model.reasons import Reason
from offload.model.states import State
from offload.store import changes, jobs
from offload.store.schema import attempts, tasks
from offload.store.views import attempt_view, rest_state, rest_views, task_view
from offload.wire.api import AttemptView, Slowest, TaskPage, TaskView
from offload.wire.runner_protocol import Completion

PAGE: Final = 500
_ATTEMPT: Final = select(tasks.c.job, tasks.c.task, tasks.c.attempts).where(
    tasks.c.token == bindparam("of_token")
)


def that_wait(job: str) -> tuple[ColumnElement[bool], ...]:
    """Selects the tasks of a job that have a row and wait."""
    return tasks.c.job == job, tasks.c.state == State.PENDING


def that_are_held(runner: RunnerId, tokens: Iterable[str]) -> ColumnElement[bool]:
    """Selects those tasks of which a runner holds one of these leases."""
    return tasks.c.token.in_(tokens) & (tasks.c.runner == runner)


def held_by(connection: Connection, runner: RunnerId) -> Sequence[Row[Any]]:
    """The rows of the tasks whose leases a runner holds, locked."""
    held = select(tasks).where(tasks.c.runner == runner).order_by(tasks.c.position)
    return connection.execute(held.with_for_update()).all()


def renew(connection: Connection, runner: RunnerId, tokens: Sequence[str], expires: float) -> set[str]:
    """Move the expiry of the leases that the runner still holds, and tell which of ``tokens`` those are."""
    if not tokens:
        return set()
    held = that_are_held(runner, tokens)
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
        held = select(tasks).where(that_are_held(runner, told))
        rows = connection.execute(held.with_for_update()).all()
        _happen(connection, [(row, told[row.token]) for row in rows], now)
    return list(told)


def lose(connection: Connection, runner: RunnerId, reason: Reason, now: float) -> int:
    """The runner is no more: its leases are lost; how many."""
    return _happen(connection, [(row, Lost(row.token, reason)) for row in held_by(connection, runner)], now)


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
    waiting = select(tasks).where(*that_wait(job), tasks.c.size == size)
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
    row = connection.execute(_ATTEMPT, {"of_token": token}).one_or_none()
    if row is None:
        raise LeaseLostError("This lease isn't held any more.")
    return row.job, row.task, row.attempts


def attempts_held(
    connection: Connection, runner: RunnerId, tokens: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Task index and attempt number of those leases that the runner holds."""
    held = select(tasks.c.token, tasks.c.task, tasks.c.attempts).where(that_are_held(runner, tokens))
    return {row.token: (row.task, row.attempts) for row in connection.execute(held)}


def attempts_under_way(connection: Connection, job: str) -> set[tuple[int, int]]:
    """Task index and attempt number of every lease of a job that is held."""
    held = select(tasks.c.task, tasks.c.attempts).where(tasks.c.job == job, tasks.c.state == State.RUNNING)
    return {(row.task, row.attempts) for row in connection.execute(held)}


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
    return next(rest_views(row, [index], jobs.waiting_of(connection, job)))


def at_work(connection: Connection, some: Sequence[str]) -> dict[str, int]:
    """How many tasks of some jobs are under way: a runner works on one, and the others of its leases wait."""
    holders = select(tasks.c.job, func.count(distinct(tasks.c.runner)))
    holders = holders.where(tasks.c.job.in_(some), tasks.c.state == State.RUNNING)
    return {row[0]: row[1] for row in connection.execute(holders.group_by(tasks.c.job))}


def slowest(connection: Connection, job: str) -> Slowest | None:
    """Of the tasks that run the one that has for longest; None when none does."""
    runs = select(attempts.c.task, attempts.c.started).join(tasks, tasks.c.token == attempts.c.token)
    runs = runs.where(tasks.c.job == job, tasks.c.state == State.RUNNING)
    row = connection.execute(runs.order_by(attempts.c.started, attempts.c.task).limit(1)).first()
    return None if row is None else Slowest(task=row.task, since=row.started)


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
        last = views[-1].index if len(views) > limit else math.inf
        shown = takewhile(lambda index: index < last, rest)
        views += rest_views(row, shown, jobs.waiting_of(connection, job))
        views = sorted(views, key=attrgetter("index"))[: limit + 1]
    more = len(views) > limit
    return TaskPage(tasks=tuple(views[:limit]), next=views[limit - 1].index if more else None)


def _begun(connection: Connection, job: Row[Any], query: Any) -> list[TaskView]:
    rows = connection.execute(query).all()
    waiting = jobs.waiting_of(connection, job.id)
    spec = jobs.spec_of(job)
    tried: dict[int, list[AttemptView]] = {}
    wanted = attempts.c.task.in_([row.task for row in rows])
    found = select(attempts).where(attempts.c.job == job.id, wanted).order_by(attempts.c.number)
    for row in connection.execute(found):
        tried.setdefault(row.task, []).append(attempt_view(row, spec))
    removed = job.results_removed
    return [task_view(row, tuple(tried.get(row.task, ())), waiting, removed=removed) for row in rows]
