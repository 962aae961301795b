"""What happened, in order, with ids that a reader resumes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from offload.store.schema import events
from offload.store.views import event_view
from offload.wire.api import EventView
from offload.wire.codec import encode


def record(
    connection: Connection, job: str, kind: str, now: float, *, task: int | None = None, **data: Any
) -> None:
    """Append an event; ``data`` are facts made of plain types, enums or dataclasses."""
    record_each(connection, job, kind, now, [(task, data)])


def record_each(
    connection: Connection,
    job: str,
    kind: str,
    now: float,
    facts: Iterable[tuple[int | None, Mapping[str, Any]]],
) -> None:
    """Append an event for each task, in this order."""
    rows = [
        {"job": job, "at": now, "kind": kind, "task": task, "data": encode(data).decode()}
        for task, data in facts
    ]
    if rows:
        connection.execute(insert(events), rows)


def read(
    connection: Connection, *, after: int = 0, job: str | None = None, limit: int = 500
) -> list[EventView]:
    """Events with an id above ``after``, oldest first; of one job, or of all."""
    query = select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
    if job is not None:
        query = query.where(events.c.job == job)
    return [event_view(row) for row in connection.execute(query)]
