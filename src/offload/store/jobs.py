"""Jobs: submitted once, listed newest first, moved only by guarded updates."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, case, func, insert, select, update

from offload.errors import BlobMissingError, JobNotFoundError
from offload.lifecycle.job import PoolFacts, job_state
from offload.model.counts import Counts
from offload.model.ids import new_job_id, pool_id
from offload.model.spec import Spec
from offload.model.states import State, Target
from offload.store import events, manifests
from offload.store.schema import jobs, pools, tasks
from offload.store.views import counts_of, job_view, reason_of
from offload.wire.api import JobPage, JobView, Submission
from offload.wire.codec import encode

PAGE: Final = 100
_BATCH: Final = 5000
_UNFINISHED: Final = (State.PENDING.value, State.RUNNING.value)


def submit(connection: Connection, submission: Submission, user: str, now: float) -> tuple[JobView, bool]:
    """Keep a job with its tasks and its pool; the flag tells whether it is new.

    Raises:
        BlobMissingError: its snapshot isn't there (any more).
    """
    known = connection.execute(select(jobs.c.id).where(jobs.c.key == submission.key)).scalar()
    if known is not None:
        return get(connection, known), False
    spec = submission.spec
    if not manifests.touch(connection, spec.snapshot, now):
        raise BlobMissingError(
            "The job's snapshot isn't with the launcher.", details={"digests": [spec.snapshot]}
        )
    job = new_job_id()
    _insert_job(connection, job, submission, user, now)
    _insert_tasks(connection, job, spec)
    connection.execute(
        insert(pools).values(id=pool_id(job), job=job, released=False, early_deaths=0, last_words="")
    )
    for digest in filter(None, (spec.snapshot, spec.stdin)):
        manifests.refer(connection, job, digest)
    events.record(connection, job, "submitted", now, name=spec.name, cluster=spec.cluster)
    return get(connection, job), True


def _insert_job(connection: Connection, job: str, submission: Submission, user: str, now: float) -> None:
    spec = submission.spec
    connection.execute(
        insert(jobs).values(
            id=job,
            key=submission.key,
            user=user,
            name=spec.name,
            cluster=spec.cluster,
            spec=encode(spec).decode(),
            state=State.PENDING,
            target=Target.DONE,
            pending=len(spec.array),
            running=0,
            succeeded=0,
            failed=0,
            cancelled=0,
            created=now,
            results_removed=False,
        )
    )


def _insert_tasks(connection: Connection, job: str, spec: Spec) -> None:
    rows: list[dict[str, Any]] = [
        {
            "job": job,
            "task": index,
            "position": position,
            "state": State.PENDING,
            "attempts": 0,
            "charged": 0,
            "lost": 0,
        }
        for position, index in enumerate(spec.array)
    ]
    for at in range(0, len(rows), _BATCH):
        connection.execute(insert(tasks), rows[at : at + _BATCH])


def submitted_before(connection: Connection, key: str) -> JobView | None:
    """The job that this key already made, if any."""
    known = connection.execute(select(jobs.c.id).where(jobs.c.key == key)).scalar()
    return None if known is None else get(connection, known)


def row_of(connection: Connection, job: str) -> Row[Any]:
    """A job's row.

    Raises:
        JobNotFoundError: there is none; the sentence suggests near ids.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job)).one_or_none()
    if row is None:
        raise _not_found(connection, job)
    return row


def get(connection: Connection, job: str) -> JobView:
    """A job.

    Raises:
        JobNotFoundError: there is none; the sentence suggests near ids.
    """
    row = row_of(connection, job)
    return job_view(row, waiting_of(connection, job))


def waiting_of(connection: Connection, job: str) -> str | None:
    """Why the job's pool has no runner yet, as the text of a reason."""
    waiting = connection.execute(select(pools.c.waiting).where(pools.c.job == job)).scalar()
    return None if waiting is None else str(waiting)


def _not_found(connection: Connection, job: str) -> JobNotFoundError:
    recent = select(jobs.c.id, jobs.c.name).order_by(jobs.c.number.desc()).limit(1000)
    names = {row.id: row.name for row in connection.execute(recent)}
    by_name = [known for known, name in names.items() if name == job]
    near = by_name[:3] or difflib.get_close_matches(job, names, n=3, cutoff=0.5)
    hint = ", ".join(f"{known} ({names[known]})" for known in near)
    return JobNotFoundError(
        f"There is no job {job}.",
        next_step=f"Did you mean {hint}?" if near else "`offload jobs` lists the jobs that there are.",
        details={"near": near},
    )


def page(
    connection: Connection,
    *,
    state: State | None = None,
    user: str | None = None,
    limit: int = PAGE,
    before: str | None = None,
) -> JobPage:
    """Jobs, newest first; ``before`` is the id that the previous page ended with.

    Raises:
        JobNotFoundError: ``before`` names no job.
    """
    query = select(jobs, pools.c.waiting).join(pools, pools.c.job == jobs.c.id)
    query = query.order_by(jobs.c.number.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if user is not None:
        query = query.where(jobs.c.user == user)
    if before is not None:
        query = query.where(jobs.c.number < row_of(connection, before).number)
    rows = connection.execute(query).all()
    views = tuple(job_view(row, row.waiting) for row in rows[:limit])
    return JobPage(jobs=views, next=views[-1].id if len(rows) > limit else None)


def unfinished(connection: Connection) -> list[str]:
    """Ids of jobs that have work left, or whose pool isn't released, oldest first."""
    busy = jobs.c.state.in_(_UNFINISHED) | ~pools.c.released
    query = select(jobs.c.id).join(pools, pools.c.job == jobs.c.id).where(busy)
    return list(connection.execute(query.order_by(jobs.c.number)).scalars())


def count_unfinished(connection: Connection) -> int:
    """How many jobs have work left."""
    query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(_UNFINISHED))
    return int(connection.execute(query).scalar_one())


def request_cancel(connection: Connection, job: str, now: float) -> JobView:
    """Move the target of an unfinished job to ``cancelled``; of a finished one, change nothing.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row_of(connection, job)
    moved = connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.target == Target.DONE, jobs.c.state.in_(_UNFINISHED))
        .values(target=Target.CANCELLED)
    )
    if moved.rowcount:
        events.record(connection, job, "cancel_requested", now)
    return get(connection, job)


def facts(connection: Connection, job: str) -> tuple[State, Target, Counts, PoolFacts] | None:
    """What the reconciler plans from; None when the job is not there any more."""
    query = select(jobs, pools.c.wanted, pools.c.released, pools.c.early_deaths, pools.c.last_words)
    query = query.add_columns(pools.c.refused).join(pools, pools.c.job == jobs.c.id)
    row = connection.execute(query.where(jobs.c.id == job)).one_or_none()
    if row is None:
        return None
    pool = PoolFacts(
        wanted=row.wanted,
        released=row.released,
        early_deaths=row.early_deaths,
        last_words=row.last_words,
        refused=reason_of(row.refused),
    )
    return State(row.state), Target(row.target), counts_of(row), pool


def move_tasks(
    connection: Connection, job: str, old: State, new: State, now: float, *, count: int = 1
) -> None:
    """Count tasks that went from ``old`` to ``new``, and let the job's state follow from its tasks."""
    if old is not new:
        counters = {old.value: jobs.c[old.value] - count, new.value: jobs.c[new.value] + count}
        connection.execute(update(jobs).where(jobs.c.id == job).values(counters))
    row = row_of(connection, job)
    started = row.started is not None or new is State.RUNNING
    state = job_state(counts_of(row), Target(row.target), started=started)
    if state.value == row.state:
        return
    values: dict[str, Any] = {"state": state}
    if state is State.RUNNING:
        values["started"] = now
        events.record(connection, job, "job_started", now)
    if state.is_terminal:
        values |= _ending(connection, job, now)
        events.record(connection, job, "job_ended", now, state=state, exit_status=values["exit_status"])
    guarded = update(jobs).where(jobs.c.id == job, jobs.c.state.in_(_UNFINISHED))
    connection.execute(guarded.values(values))


def _ending(connection: Connection, job: str, now: float) -> dict[str, Any]:
    """The reason and exit status of a job are those of its first failed, else first cancelled, task."""
    query = select(tasks.c.exit_status, tasks.c.reason)
    query = query.where(tasks.c.job == job, tasks.c.state != State.SUCCEEDED)
    failed_first = case((tasks.c.state == State.FAILED, 0), else_=1)
    first = connection.execute(query.order_by(failed_first, tasks.c.position).limit(1)).first()
    if first is None:
        return {"ended": now, "exit_status": 0, "reason": None}
    return {"ended": now, "exit_status": first.exit_status, "reason": first.reason}


def expired(connection: Connection, before: float) -> list[str]:
    """Ids of jobs that ended before a time and still have results."""
    query = select(jobs.c.id).where(jobs.c.ended < before, ~jobs.c.results_removed)
    return list(connection.execute(query).scalars())


def remove_results(connection: Connection, job: str, now: float) -> None:
    """Forget a job's results; the job itself stays, and says so."""
    manifests.forget_results(connection, job)
    connection.execute(update(tasks).where(tasks.c.job == job).values(results=None))
    connection.execute(update(jobs).where(jobs.c.id == job).values(results_removed=True))
    events.record(connection, job, "results_removed", now)


def with_expiry(view: JobView, retention: float | None) -> JobView:
    """The view with the time at which its results are removed."""
    if view.ended is None or retention is None:
        return view
    return replace(view, results_expire=view.ended + retention)
