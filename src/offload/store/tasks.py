"""Tasks and their leases: read the facts, let ``lifecycle`` decide, write guarded by what was read.

A guarded write that matches no row means that somebody else went on in between; the caller reads again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from offload.errors import LeaseLostError, TaskNotFoundError
from offload.lifecycle.task import (
    CancelRequested,
    Completed,
    Decision,
    Granted,
    Lost,
    Refused,
    TaskEvent,
    TaskFacts,
    Wish,
    decide,
)
from offload.model.ids import RunnerId, job_of_pool, pool_of_runner
from offload.model.reasons import Reason
from offload.model.spec import Spec
from offload.model.states import AttemptState, State, Target
from offload.store import events, jobs, manifests
from offload.store.schema import attempts, tasks
from offload.store.schema import jobs as jobs_table
from offload.store.views import attempt_view, task_view, to_text
from offload.wire.api import AttemptView, TaskPage, TaskView
from offload.wire.codec import decode
from offload.wire.runner_protocol import Completion, Lease

PAGE: Final = 500


def wish_of(connection: Connection, job: str) -> Wish:
    """What a job wants of its tasks."""
    row = jobs.row_of(connection, job)
    return Wish(target=Target(row.target), retries=decode(row.spec, Spec).retries)


def facts_of(row: Row[Any]) -> TaskFacts:
    """What the row of a task says."""
    return TaskFacts(
        state=State(row.state),
        attempts=row.attempts,
        charged=row.charged,
        lost=row.lost,
        token=row.token,
    )


def apply(connection: Connection, row: Row[Any], event: TaskEvent, wish: Wish, now: float) -> Decision | None:
    """Let ``event`` happen to the task of ``row``; None when it is void or somebody was faster."""
    decision = decide(facts_of(row), wish, event)
    if decision is None:
        return None
    guarded = update(tasks).where(
        tasks.c.job == row.job,
        tasks.c.task == row.task,
        tasks.c.state == row.state,
        tasks.c.token.is_not_distinct_from(row.token),
    )
    if connection.execute(guarded.values(_columns(decision, event))).rowcount != 1:
        return None
    _end_attempt(connection, row, decision, event, now)
    _record(connection, row, decision, now)
    jobs.move_tasks(connection, row.job, State(row.state), decision.task.state, now)
    return decision


def _columns(decision: Decision, event: TaskEvent) -> dict[str, Any]:
    task = decision.task
    values: dict[str, Any] = {
        "state": task.state,
        "attempts": task.attempts,
        "charged": task.charged,
        "lost": task.lost,
        "token": task.token,
        "reason": to_text(decision.reason),
    }
    if task.token is None:
        values |= {"runner": None, "expires": None}
    if isinstance(event, Completed):
        outcome = event.outcome
        values["exit_status"] = outcome.exit_status
        if task.state.is_terminal:
            values |= {"results": outcome.results, "result": to_text(outcome.result)}
    return values


def _end_attempt(
    connection: Connection, row: Row[Any], decision: Decision, event: TaskEvent, now: float
) -> None:
    if decision.attempt is None:
        return
    values: dict[str, Any] = {
        "state": decision.attempt,
        "ended": now,
        "reason": to_text(decision.reason),
    }
    if isinstance(event, Completed):
        values |= {"exit_status": event.outcome.exit_status, "use": to_text(event.outcome.use)}
        if event.outcome.results:
            manifests.refer(connection, row.job, event.outcome.results)
    held = attempts.c.token == row.token
    connection.execute(update(attempts).where(held).values(values))


def _record(connection: Connection, row: Row[Any], decision: Decision, now: float) -> None:
    task, number = decision.task, decision.task.attempts
    if decision.attempt in (AttemptState.LOST, AttemptState.FAILED) and not task.state.is_terminal:
        kind = "attempt_lost" if decision.attempt is AttemptState.LOST else "attempt_failed"
        events.record(connection, row.job, kind, now, task=row.task, attempt=number, reason=decision.reason)
    if task.state is State.RUNNING:
        events.record(connection, row.job, "task_started", now, task=row.task, attempt=number)
    if task.state.is_terminal:
        events.record(
            connection,
            row.job,
            "task_ended",
            now,
            task=row.task,
            attempt=number,
            state=task.state,
            reason=decision.reason,
        )


def grant(
    connection: Connection, runner: RunnerId, *, slots: int, known: Sequence[str], now: float, ttl: float
) -> list[Lease]:
    """Leases for a runner: those that it doesn't know it has, then new ones, ``slots`` at most."""
    again = [_lease(row) for row in _held(connection, runner) if row.token not in known]
    job = job_of_pool(pool_of_runner(runner))
    wish = wish_of(connection, job)
    pending = select(tasks).where(tasks.c.job == job, tasks.c.state == State.PENDING)
    pending = pending.order_by(tasks.c.position).limit(max(slots - len(again), 0))
    fresh = connection.execute(pending.with_for_update(skip_locked=True)).all()
    granted = (_grant_one(connection, row, wish, runner=runner, now=now, ttl=ttl) for row in fresh)
    return again + [lease for lease in granted if lease is not None]


def _held(connection: Connection, runner: RunnerId) -> Sequence[Row[Any]]:
    return connection.execute(select(tasks).where(tasks.c.runner == runner)).all()


def _lease(row: Row[Any]) -> Lease:
    return Lease(token=row.token, task=row.task, attempt=row.attempts, expires=row.expires)


def _grant_one(
    connection: Connection, row: Row[Any], wish: Wish, *, runner: RunnerId, now: float, ttl: float
) -> Lease | None:
    token = secrets.token_urlsafe(18)
    decision = apply(connection, row, Granted(token), wish, now)
    if decision is None:
        return None
    here = (tasks.c.job == row.job, tasks.c.task == row.task)
    connection.execute(update(tasks).where(*here).values(runner=runner, expires=now + ttl))
    number = decision.task.attempts
    connection.execute(
        insert(attempts).values(
            job=row.job,
            task=row.task,
            number=number,
            token=token,
            runner=runner,
            state=AttemptState.RUNNING,
            started=now,
        )
    )
    return Lease(token=token, task=row.task, attempt=number, expires=now + ttl)


def renew(connection: Connection, runner: RunnerId, tokens: Sequence[str], expires: float) -> set[str]:
    """Move the expiry of the leases that the runner still holds, and tell which of ``tokens`` those are."""
    held = tasks.c.token.in_(tokens) & (tasks.c.runner == runner)
    connection.execute(update(tasks).where(held).values(expires=expires))
    return set(connection.execute(select(tasks.c.token).where(held)).scalars())


def settle(
    connection: Connection, runner: RunnerId, completions: Iterable[Completion], now: float
) -> list[str]:
    """Count completions; every token is settled afterwards, since a void one has nothing left to say."""
    settled = []
    for completion in completions:
        row = connection.execute(
            select(tasks).where(tasks.c.token == completion.token, tasks.c.runner == runner)
        ).one_or_none()
        if row is not None:
            wish = wish_of(connection, row.job)
            apply(connection, row, Completed(completion.token, completion.outcome), wish, now)
        settled.append(completion.token)
    return settled


def lose(connection: Connection, runner: RunnerId, reason: Reason, now: float) -> int:
    """The runner is no more: its leases are lost; how many."""
    lost = 0
    for row in _held(connection, runner):
        wish = wish_of(connection, row.job)
        lost += apply(connection, row, Lost(row.token, reason), wish, now) is not None
    return lost


def expired(connection: Connection, now: float) -> dict[RunnerId, float]:
    """Runners that hold a lease past its expiry, with the oldest such expiry."""
    late = select(tasks.c.runner, tasks.c.expires).where(tasks.c.expires < now)
    found: dict[RunnerId, float] = {}
    for row in connection.execute(late.order_by(tasks.c.expires)):
        found.setdefault(RunnerId(row.runner), row.expires)
    return found


def end_pending(connection: Connection, job: str, reason: Reason | None, now: float) -> int:
    """End the tasks that have not begun: failed for ``reason``, or cancelled without one; how many.

    What holds for one of them holds for all, so an array is ended by one statement, however large it is.
    """
    event = CancelRequested() if reason is None else Refused(reason)
    decision = decide(TaskFacts(), wish_of(connection, job), event)
    if decision is None:
        return 0
    state, why = decision.task.state, decision.reason
    pending = update(tasks).where(tasks.c.job == job, tasks.c.state == State.PENDING)
    moved = pending.values(state=state, reason=to_text(why)).returning(tasks.c.task, tasks.c.attempts)
    rows = sorted((row.task, row.attempts) for row in connection.execute(moved))
    facts = ((task, {"attempt": number, "state": state, "reason": why}) for task, number in rows)
    events.record_each(connection, job, "task_ended", now, facts)
    jobs.move_tasks(connection, job, State.PENDING, state, now, count=len(rows))
    return len(rows)


def attempt_held(connection: Connection, token: str) -> tuple[str, int, int]:
    """Job, task index and attempt number of a lease.

    Raises:
        LeaseLostError: no runner holds it (any more).
    """
    row = connection.execute(select(tasks).where(tasks.c.token == token)).one_or_none()
    if row is None:
        raise LeaseLostError("This lease isn't held any more.")
    return row.job, row.task, row.attempts


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
    spec = decode(jobs.row_of(connection, job).spec, Spec)
    page = _views(connection, job, select(tasks).where(tasks.c.job == job, tasks.c.task == index))
    if not page:
        raise TaskNotFoundError(f"Job {job} has no task {index}.", next_step=f"Its tasks are {spec.array}.")
    return page[0]


def page(
    connection: Connection,
    job: str,
    *,
    state: State | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> TaskPage:
    """Tasks in index order, each with its attempts.

    Raises:
        JobNotFoundError: there is no such job.
    """
    jobs.row_of(connection, job)
    query = select(tasks).where(tasks.c.job == job).order_by(tasks.c.task).limit(limit + 1)
    if state is not None:
        query = query.where(tasks.c.state == state)
    if after is not None:
        query = query.where(tasks.c.task > after)
    views = _views(connection, job, query)
    more = len(views) > limit
    return TaskPage(tasks=tuple(views[:limit]), next=views[limit - 1].index if more else None)


def _views(connection: Connection, job: str, query: Any) -> list[TaskView]:
    rows = connection.execute(query).all()
    waiting = jobs.waiting_of(connection, job)
    tried: dict[int, list[AttemptView]] = {}
    wanted = attempts.c.task.in_([row.task for row in rows])
    found = select(attempts).where(attempts.c.job == job, wanted).order_by(attempts.c.number)
    for row in connection.execute(found):
        tried.setdefault(row.task, []).append(attempt_view(row))
    return [task_view(row, tuple(tried.get(row.task, ())), waiting) for row in rows]


def cancelling(connection: Connection, tokens: Sequence[str]) -> set[str]:
    """Which of these leases belong to jobs that are to be cancelled."""
    query = select(tasks.c.token).join(jobs_table, jobs_table.c.id == tasks.c.job)
    query = query.where(tasks.c.token.in_(tokens), jobs_table.c.target == Target.CANCELLED)
    return set(connection.execute(query).scalars())
