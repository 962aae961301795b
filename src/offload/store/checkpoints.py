"""What tasks saved for their next attempts: one manifest for each, the newest."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, insert, select, update

from offload.errors import LeaseLostError
from offload.store import jobs, manifests
from offload.store.schema import checkpoints, references, tasks


def keep(connection: Connection, token: str, digest: str) -> None:
    """Keep what the attempt that holds a lease has saved, instead of what was kept before.

    Raises:
        LeaseLostError: no runner holds the lease (any more).
    """
    row = connection.execute(select(tasks.c.job, tasks.c.task).where(tasks.c.token == token)).one_or_none()
    if row is None:
        raise LeaseLostError("This lease isn't held any more.")
    before = of_task(connection, row.job, row.task)
    if before == digest:
        return
    if before is None:
        connection.execute(insert(checkpoints).values(job=row.job, task=row.task, digest=digest))
    else:
        here = (checkpoints.c.job == row.job, checkpoints.c.task == row.task)
        connection.execute(update(checkpoints).where(*here).values(digest=digest))
        _let_go(connection, row.job, before)
    manifests.refer(connection, row.job, digest)


def of_task(connection: Connection, job: str, task: int) -> str | None:
    """The manifest of what a task has saved."""
    here = (checkpoints.c.job == job, checkpoints.c.task == task)
    found: str | None = connection.execute(select(checkpoints.c.digest).where(*here)).scalar()
    return found


def _let_go(connection: Connection, job: str, digest: str) -> None:
    """Drop the reference of a job to a manifest that it needs for nothing else."""
    if jobs.spec_of(jobs.row_of(connection, job)).snapshot == digest:
        return
    other = exists().where(checkpoints.c.job == job, checkpoints.c.digest == digest)
    result = exists().where(tasks.c.job == job, tasks.c.results == digest)
    unneeded = (references.c.job == job, references.c.digest == digest, ~other, ~result)
    connection.execute(delete(references).where(*unneeded))
