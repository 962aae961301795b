"""Pausing and resuming jobs: by people, and once by the breaker."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, update

from offload.model.reasons import Reason, ReasonCode
from offload.model.states import Target
from offload.store import events
from offload.store.jobs import UNFINISHED, get, row_of
from offload.store.schema import jobs, pools
from offload.store.views import to_text
from offload.wire.api import JobView


def request_pause(connection: Connection, job: str, user: str, now: float) -> JobView:
    """Move the target of an unfinished job from ``done`` to ``paused``; of any other, change nothing.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row_of(connection, job)
    _pause(connection, job, Reason(code=ReasonCode.PAUSED, sentence=f"{user} paused it."), now)
    return get(connection, job)


def trip(connection: Connection, job: str, reason: Reason, now: float) -> None:
    """The same because its first tasks failed alike, unless one has succeeded meanwhile; only once."""
    _pause(connection, job, reason, now, ~jobs.c.tripped, jobs.c.succeeded == 0, tripped=True)


def _pause(
    connection: Connection,
    job: str,
    reason: Reason,
    now: float,
    *guards: ColumnElement[bool],
    **also: Any,
) -> None:
    moved = update(jobs).where(jobs.c.id == job, jobs.c.target == Target.DONE, jobs.c.state.in_(UNFINISHED))
    values = {"target": Target.PAUSED, "pause": to_text(reason), **also}
    if connection.execute(moved.where(*guards).values(values)).rowcount:
        events.record(connection, job, "paused", now, reason=reason)


def request_resume(connection: Connection, job: str, user: str, now: float) -> JobView:
    """Move the target of a paused job back to ``done``; of any other, change nothing.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row_of(connection, job)
    moved = update(jobs).where(jobs.c.id == job, jobs.c.target == Target.PAUSED)
    if connection.execute(moved.values(target=Target.DONE, pause=None)).rowcount:
        # What ended because of the pause says nothing about what begins now.
        connection.execute(update(pools).where(pools.c.job == job).values(early_deaths=0))
        events.record(connection, job, "resumed", now, by=user)
    return get(connection, job)
