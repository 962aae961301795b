"""What happened, in order, with ids that a reader resumes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from offload.store.schema import events
from offload.store.views import event_view
from offload.wire.api import EventView
from offload.wire.codec import encode

Fact = tuple[str, int | None, Mapping[str, Any]]
"""Kind of an event, the task that it is about, and its data: plain types, enums or dataclasses."""


def record(
    connection: Connection, job: str, kind: str, now: float, *, task: int | None = None, **data: Any
) -> None:
    """Append an event."""
    record_all(connection, job, now, [(kind, task, data)])


def record_all(connection: Connection, job: str, now: float, facts: Iterable[Fact]) -> None:
    """Append events in this order."""
    rows = [
        {"job": job, "at": now, "kind": kind, "task": task, "data": encode(data).decode()}
        for kind, task, data in facts
    ]
    if rows:
        connection.execute(insert(events), rows)


def read(
    connection: Connection,
    *,
    after: int = 0,
    job: str | None = None,
    kinds: Collection[str] = (),
    limit: int = 500,
) -> list[EventView]:
    """Events with an id above ``after``, oldest first; of one job, or of all; of some kinds, or of all."""
    query = select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
    if job is not None:
        query = query.where(events.c.job == job)
    if kinds:
        query = query.where(events.c.kind.in_(kinds))
    return [event_view(row) for row in connection.execute(query)]


def read_on(
    connection: Connection, *, after: int, job: str | None, kinds: Collection[str], limit: int
) -> tuple[list[EventView], int]:
    """The same, and the id that the next look goes on after: what didn't match isn't looked at again."""
    batch = read(connection, after=after, job=job, kinds=kinds, limit=limit)
    if len(batch) == limit:
        return batch, batch[-1].id
    return batch, max(after, connection.execute(select(func.max(events.c.id))).scalar() or 0)


def forget(connection: Connection, job: str, *, limit: int) -> int:
    """Delete events of a job, ``limit`` at most; how many."""
    some = select(events.c.id).where(events.c.job == job).limit(limit)
    return connection.execute(delete(events).where(events.c.id.in_(some))).rowcount
