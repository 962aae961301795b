"""What the attempts of a job used, and those of earlier jobs with the same script."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from sqlalchemy import Connection, select

from offload.model.reasons import ReasonCode
from offload.model.spec import Spec
from offload.model.usage import Usage, summarise
from offload.model.use import Use
from offload.store import jobs
from offload.store.schema import attempts
from offload.store.schema import jobs as jobs_table
from offload.store.views import memory_of, reason_of
from offload.wire.codec import decode

SAMPLE: Final = 5000
"""Attempts that are looked at, the latest first: a spread of more says nothing else."""
_LOOKED_THROUGH: Final = 500
_SIMILAR: Final = 20
"""Jobs with the same script that count, the latest first: scripts change."""
_SCRIPT: Final = 2
"""Words of a command that name its script: the interpreter and the file."""


def of_job(connection: Connection, job: str) -> Usage | None:
    """What the attempts of a job used; None when none has ended yet.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row = jobs.row_of(connection, job)
    return _of_jobs(connection, {row.id: jobs.spec_of(row)})


def of_script(connection: Connection, user: str, like: Spec) -> Usage | None:
    """What a person's earlier jobs with the same script, from the same directory, used; None without any."""
    newest = jobs_table.c.number.desc()
    found = select(jobs_table.c.id, jobs_table.c.spec).where(jobs_table.c.user == user).order_by(newest)
    rows = connection.execute(found.limit(_LOOKED_THROUGH))
    known = ((row.id, decode(row.spec, Spec)) for row in rows)
    similar = ((job, spec) for job, spec in known if _script(spec) == _script(like))
    return _of_jobs(connection, dict(islice(similar, _SIMILAR)))


def _script(spec: Spec) -> tuple[object, ...]:
    return spec.home, spec.directory, spec.command[:_SCRIPT]


def _of_jobs(connection: Connection, specs: dict[str, Spec]) -> Usage | None:
    columns = select(attempts.c.job, attempts.c.runner, attempts.c.use, attempts.c.reason)
    ended = columns.where(attempts.c.job.in_(list(specs)), attempts.c.use.is_not(None))
    rows = connection.execute(ended.order_by(attempts.c.ended.desc()).limit(SAMPLE)).all()
    killed = [memory_of(specs[row.job], row.runner) or 0 for row in rows if _ran_out(row.reason)]
    uses: Sequence[Use] = [decode(row.use, Use) for row in rows]
    return summarise(uses, jobs=len({row.job for row in rows}), killed_at=max(killed, default=0))


def _ran_out(reason: str | None) -> bool:
    found = reason_of(reason)
    return found is not None and found.code is ReasonCode.OUT_OF_MEMORY
