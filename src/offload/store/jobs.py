"""Jobs: submitted once, listed newest first, moved only by guarded updates."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, func, insert, select, update

from offload.errors import BlobMissingError, JobNotFoundError
from offload.lifecycle.job import job_state
from offload.model.ids import JobId, new_job_id, pool_id, size_of_pool
from offload.model.reasons import Reason
from offload.model.spec import Spec
from offload.model.states import Stand, State, Target
from offload.store import events, manifests
from offload.store.schema import jobs, pools, tasks
from offload.store.views import counts_of, job_view, to_text
from offload.wire.api import JobPage, JobView, Submission
from offload.wire.codec import decode, encode

PAGE: Final = 100
UNFINISHED: Final = (State.PENDING.value, State.RUNNING.value)
# Every lease call reads these rows several times: what is made once needn't be made again.
_JOB: Final = select(jobs).where(jobs.c.id == bindparam("of_job"))
_LOCKED: Final = _JOB.with_for_update()


def submit(connection: Connection, submission: Submission, user: str, now: float) -> tuple[JobView, bool]:
    """Keep a job with its pool; the flag tells whether it is new.

    Raises:
        BlobMissingError: its snapshot isn't there (any more).
    """
    known = connection.execute(select(jobs.c.id).where(jobs.c.key == submission.key)).scalar()
    if known is not None:
        return get(connection, known), False
    spec = submission.spec
    wanted = manifests_of(spec)
    if missing := [digest for digest in wanted if not manifests.touch(connection, digest, now)]:
        raise BlobMissingError("The job's files aren't with the launcher.", details={"digests": missing})
    job = new_job_id()
    _insert_job(connection, job, submission, user, now)
    open_pool(connection, job, 0)
    manifests.refer(connection, job, *wanted, *filter(None, (spec.stdin,)))
    events.record(connection, job, "submitted", now, name=spec.name, cluster=spec.cluster)
    return get(connection, job), True


def manifests_of(spec: Spec) -> tuple[str, ...]:
    """Digests of the manifests that a job needs to run: of its snapshot, its table and its tasks' files."""
    table = spec.parameters.table if spec.parameters else None
    digests = (spec.snapshot, table and table.digest, table and table.files)
    return tuple(digest for digest in digests if digest)


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
            begun=0,
            created=now,
            results_removed=False,
        )
    )


def open_pool(connection: Connection, job: str, size: int) -> None:
    """Keep the pool of a job's runners of this size, unless it is there."""
    pool = {"id": pool_id(JobId(job), size), "job": job, "released": False, "early_deaths": 0}
    manifests.insert_missing(connection, pools, [{**pool, "last_words": ""}])


def submitted_before(connection: Connection, key: str) -> JobView | None:
    """The job that this key already made, if any."""
    known = connection.execute(select(jobs.c.id).where(jobs.c.key == key)).scalar()
    return None if known is None else get(connection, known)


@functools.lru_cache(maxsize=256)
def _decoded(spec: str) -> Spec:
    return decode(spec, Spec)


def spec_of(job: Row[Any]) -> Spec:
    """The spec of a job's row; it never changes, and every lease call asks for it."""
    return _decoded(job.spec)


def find(connection: Connection, job: str, *, lock: bool = False) -> Row[Any] | None:
    """A job's row, if it is there; with ``lock`` nobody else changes it before this transaction has ended."""
    return connection.execute(_LOCKED if lock else _JOB, {"of_job": job}).one_or_none()


def row_of(connection: Connection, job: str, *, lock: bool = False) -> Row[Any]:
    """The same as :func:`find`, of a job that should be there.

    Raises:
        JobNotFoundError: there is none; the sentence suggests near ids.
    """
    row = find(connection, job, lock=lock)
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


def waiting_of(connection: Connection, job: str) -> dict[int, Reason]:
    """Why tasks of a job wait, by size, the smallest first: a pause, or no runner yet."""
    return _waiting(connection, [job]).get(job, {})


def _waiting(connection: Connection, some: Sequence[str]) -> dict[str, dict[int, Reason]]:
    why = func.coalesce(jobs.c.pause, pools.c.waiting).label("why")
    query = select(pools.c.id, pools.c.job, why).join(jobs, jobs.c.id == pools.c.job)
    rows = connection.execute(query.where(pools.c.job.in_(some), why.is_not(None)))
    found: dict[str, dict[int, Reason]] = {}
    for row in sorted(rows, key=lambda row: size_of_pool(row.id)):
        found.setdefault(row.job, {})[size_of_pool(row.id)] = decode(row.why, Reason)
    return found


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
    stand: Stand | None = None,
    user: str | None = None,
    limit: int = PAGE,
    before: str | None = None,
) -> JobPage:
    """Jobs, newest first; ``before`` is the id that the previous page ended with.

    Raises:
        JobNotFoundError: ``before`` names no job.
    """
    query = select(jobs).order_by(jobs.c.number.desc()).limit(limit + 1)
    if stand is not None:
        query = query.where(_stands(stand))
    if user is not None:
        query = query.where(jobs.c.user == user)
    if before is not None:
        query = query.where(jobs.c.number < row_of(connection, before).number)
    rows = connection.execute(query).all()
    waiting = _waiting(connection, [row.id for row in rows[:limit]])
    views = tuple(job_view(row, waiting.get(row.id, {})) for row in rows[:limit])
    return JobPage(jobs=views, next=views[-1].id if len(rows) > limit else None)


def _stands(stand: Stand) -> ColumnElement[bool]:
    is_paused = jobs.c.state.in_(UNFINISHED) & (jobs.c.target == Target.PAUSED)
    return is_paused if stand is Stand.PAUSED else (jobs.c.state == stand.value) & ~is_paused


def unfinished(connection: Connection, cluster: str | None = None) -> list[str]:
    """Ids of jobs that have work left, or a pool that isn't released, oldest first; all, or one cluster's."""
    kept = exists().where(pools.c.job == jobs.c.id, ~pools.c.released)
    query = select(jobs.c.id).where(jobs.c.state.in_(UNFINISHED) | kept)
    if cluster is not None:
        query = query.where(jobs.c.cluster == cluster)
    return list(connection.execute(query.order_by(jobs.c.number)).scalars())


def count_unfinished(connection: Connection) -> int:
    """How many jobs have work left."""
    return _count_unfinished(connection)


def count_active(connection: Connection) -> int:
    """How many jobs need the launcher: those with work left, but for paused ones of which nothing runs."""
    return _count_unfinished(connection, (jobs.c.target != Target.PAUSED) | (jobs.c.running > 0))


def _count_unfinished(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(UNFINISHED), *conditions)
    return int(connection.execute(query).scalar_one())


def request_cancel(connection: Connection, job: str, now: float) -> JobView:
    """Move the target of an unfinished job to ``cancelled``; of a finished one, change nothing.

    Raises:
        JobNotFoundError: there is no such job.
    """
    row_of(connection, job)
    if _turn_to_cancelled(connection, job):
        events.record(connection, job, "cancel_requested", now)
    return get(connection, job)


def give_up(connection: Connection, job: str, now: float) -> None:
    """The same because enough of its tasks have failed."""
    failed = row_of(connection, job).failed
    if _turn_to_cancelled(connection, job):
        events.record(connection, job, "gave_up", now, failed=failed)


def _turn_to_cancelled(connection: Connection, job: str) -> bool:
    other = jobs.c.target != Target.CANCELLED
    moved = update(jobs).where(jobs.c.id == job, other, jobs.c.state.in_(UNFINISHED))
    return bool(connection.execute(moved.values(target=Target.CANCELLED, pause=None)).rowcount)


def move_tasks(connection: Connection, job: str, moved: Mapping[State, int], now: float) -> None:
    """Count how many tasks more (or less) are in each state, and let the job's state follow from them."""
    counters = {state.value: jobs.c[state.value] + more for state, more in moved.items() if more}
    if counters:
        connection.execute(update(jobs).where(jobs.c.id == job).values(counters))
    row = row_of(connection, job)
    now = max(now, row.started or row.created)  # the clock may have been set back
    started = row.started is not None or bool(row.running)
    fail_fast = spec_of(row).fail_fast
    state = job_state(counts_of(row), Target(row.target), started=started, fail_fast=fail_fast)
    if state.value == row.state:
        return
    values: dict[str, Any] = {"state": state}
    if state is State.RUNNING:
        values["started"] = now
        events.record(connection, job, "job_started", now)
    if state.is_terminal:
        values |= _ending(connection, row, now)
        events.record(connection, job, "job_ended", now, state=state, exit_status=values["exit_status"])
        if row.target == Target.PAUSED:  # nothing is left to hold back
            values |= {"target": Target.DONE, "pause": None}
    guarded = update(jobs).where(jobs.c.id == job, jobs.c.state.in_(UNFINISHED))
    connection.execute(guarded.values(values))


def begin_tasks(connection: Connection, job: Row[Any], count: int) -> int:
    """Give the next ``count`` tasks that have not begun their rows; how many there were.

    Args:
        connection: in whose transaction the job's row was locked.
        job: its row.
        count: at most so many.
    """
    indices = spec_of(job).array.between(job.begun, job.begun + count)
    if not indices or job.rest_state is not None:
        return 0
    guarded = update(jobs).where(jobs.c.id == job.id, jobs.c.begun == job.begun)
    connection.execute(guarded.values(begun=job.begun + len(indices)))
    new = {"job": job.id, "state": State.PENDING, "attempts": 0, "charged": 0, "lost": 0, "size": 0}
    rows = [{**new, "task": index, "position": at} for at, index in enumerate(indices, job.begun)]
    connection.execute(insert(tasks), rows)
    return len(indices)


def end_rest(connection: Connection, job: Row[Any], state: State, reason: Reason | None, now: float) -> int:
    """End all tasks that have not begun, however many, and tell it with one event; how many there were."""
    count: int = len(spec_of(job).array) - job.begun
    if not count or job.rest_state is not None:
        return 0
    guarded = update(jobs).where(jobs.c.id == job.id, jobs.c.begun == job.begun, jobs.c.rest_state.is_(None))
    connection.execute(guarded.values(rest_state=state, rest_reason=to_text(reason)))
    events.record(connection, job.id, "tasks_ended", now, count=count, state=state, reason=reason)
    return count


def _ending(connection: Connection, job: Row[Any], now: float) -> dict[str, Any]:
    """The reason and exit status of a job are those of its first failed, else first cancelled, task."""
    for state in (State.FAILED, State.CANCELLED):
        query = select(tasks.c.exit_status, tasks.c.reason)
        query = query.where(tasks.c.job == job.id, tasks.c.state == state)
        first = connection.execute(query.order_by(tasks.c.position).limit(1)).first()
        if first is not None:
            return {"ended": now, "exit_status": first.exit_status, "reason": first.reason}
        if job.rest_state == state:  # those that never began come last
            return {"ended": now, "exit_status": None, "reason": job.rest_reason}
    return {"ended": now, "exit_status": 0, "reason": None}


def expired(connection: Connection, before: float) -> list[str]:
    """Ids of jobs that ended before a time and still have results."""
    query = select(jobs.c.id).where(jobs.c.ended < before, ~jobs.c.results_removed)
    return list(connection.execute(query).scalars())


def remove_results(connection: Connection, job: str, now: float) -> None:
    """Note that a job's results are gone, so that its tasks show none; the job itself stays."""
    parameters = spec_of(row_of(connection, job)).parameters
    if parameters and parameters.table:  # what its tasks were stays with the job
        manifests.refer(connection, job, parameters.table.digest)
    connection.execute(update(jobs).where(jobs.c.id == job).values(results_removed=True))
    events.record(connection, job, "results_removed", now)


def with_expiry(view: JobView, retention: float | None) -> JobView:
    """The view with the time at which its results are removed."""
    if view.ended is None or retention is None:
        return view
    return replace(view, results_expire=view.ended + retention)
