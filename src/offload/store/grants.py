"""Leases are granted: which tasks a runner gets, and what waits for whom."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, distinct, func, insert, select

from offload.lifecycle.task import Granted
from offload.model.ids import RunnerId, job_of_pool, pool_of_runner, size_of_pool
from offload.model.states import AttemptState, State, Target
from offload.store import changes, checkpoints, jobs, tasks
from offload.store.schema import attempts
from offload.store.schema import tasks as tasks_table
from offload.wire.runner_protocol import Lease


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
    again = [_lease(connection, row) for row in tasks.held_by(connection, runner) if row.token not in known]
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
    may_begin = tasks_table.c.due.is_(None) | (tasks_table.c.due <= now)
    pending = select(tasks_table).where(*tasks.that_wait(job.id), tasks_table.c.size == size, may_begin)
    pending = pending.order_by(tasks_table.c.position).limit(room).with_for_update(skip_locked=True)
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
    waiting = select(func.min(tasks_table.c.due)).where(*tasks.that_wait(job), tasks_table.c.due > now)
    return connection.execute(waiting).scalar()


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


def count_holders(connection: Connection, job: str, size: int) -> int:
    """How many runners of a size hold leases of a job."""
    held = (tasks_table.c.job == job) & (tasks_table.c.state == State.RUNNING) & (tasks_table.c.size == size)
    return int(
        connection.execute(select(func.count(distinct(tasks_table.c.runner))).where(held)).scalar_one()
    )
