"""Pools and their runners: what the backend was told, and what was seen of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, update

from offload.errors import PoolReleasedError
from offload.model.ids import PoolId, RunnerId, job_of_pool, pool_of_runner
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State, Target
from offload.store import events, jobs, manifests, tasks
from offload.store.schema import jobs as jobs_table
from offload.store.schema import pools, runners
from offload.store.views import reason_of, to_text

_NUMBER: Final = re.compile(r"\d+")
_POOL: Final = select(pools).where(pools.c.id == bindparam("of_pool"))
_ENDED: Final = select(runners.c.ended).where(runners.c.id == bindparam("of_runner"))


def told(connection: Connection, pool: PoolId, wanted: int) -> None:
    """Note how many runners the backend was told to keep; that it couldn't be told is no longer so."""
    values: dict[str, Any] = {"wanted": wanted}
    row = connection.execute(_POOL, {"of_pool": pool}).one_or_none()
    waiting = reason_of(row.waiting) if row else None
    if waiting and waiting.code is ReasonCode.UNKNOWN:
        values["waiting"] = None
    connection.execute(update(pools).where(pools.c.id == pool).values(values))


def released(connection: Connection, pool: PoolId) -> None:
    """Note that the backend let go of the pool."""
    connection.execute(update(pools).where(pools.c.id == pool).values(released=True, waiting=None))


def wanted_of(connection: Connection, pool: PoolId) -> int | None:
    """How many runners the backend was last told to keep."""
    return connection.execute(select(pools.c.wanted).where(pools.c.id == pool)).scalar()


def waits(connection: Connection, pool: PoolId, reason: Reason | None, now: float) -> bool:
    """Note why a pool has no runner yet (None: it has one), unless its job has ended; whether it is news."""
    query = select(pools, jobs_table.c.state).join(jobs_table, jobs_table.c.id == pools.c.job)
    row = connection.execute(query.where(pools.c.id == pool)).one_or_none()
    known = None if row is None else reason_of(row.waiting)
    if row is None or known == reason or (reason is not None and row.state not in _LIVE):
        return False
    connection.execute(update(pools).where(pools.c.id == pool).values(waiting=to_text(reason)))
    if reason is not None and (known is None or _essence(reason) != _essence(known)):
        events.record(connection, row.job, "waiting", now, reason=reason)
    return True


def _essence(reason: Reason) -> tuple[str, str]:
    """What a person is told, without its numbers: that 40 s became 45 s is no event."""
    return reason.code, _NUMBER.sub("", reason.sentence)


def refuse(connection: Connection, pool: PoolId, reason: Reason) -> None:
    """Note that the cluster rejects the pool for good."""
    connection.execute(update(pools).where(pools.c.id == pool).values(refused=to_text(reason)))


def hello(connection: Connection, runner: RunnerId, now: float) -> None:
    """A runner dialled in; the pool's count of early deaths starts anew.

    Raises:
        PoolReleasedError: its pool is unknown or done, or this runner was seen to have ended.
    """
    pool = pool_of_runner(runner)
    row = connection.execute(_POOL, {"of_pool": pool}).one_or_none()
    if row is None or row.released or jobs.row_of(connection, row.job).state not in _LIVE:
        raise PoolReleasedError(f"There is no more work for {runner}.")
    known: list[dict[str, Any]] = [{"id": runner, "pool": pool, "hello": now}]
    manifests.insert_missing(connection, runners, known)
    seen = connection.execute(select(runners).where(runners.c.id == runner)).one()
    if seen.ended is not None:
        raise PoolReleasedError(f"{runner} was seen to have ended; its leases are lost.")
    connection.execute(update(runners).where(runners.c.id == runner).values(hello=now))
    connection.execute(update(pools).where(pools.c.id == pool).values(early_deaths=0, waiting=None))


_LIVE = (State.PENDING.value, State.RUNNING.value)


def ended(connection: Connection, runner: RunnerId, reason: Reason, now: float) -> bool:
    """A runner is no more: lose its leases; whether that is news."""
    pool = pool_of_runner(runner)
    if connection.execute(select(pools.c.id).where(pools.c.id == pool)).first() is None:
        return False
    manifests.insert_missing(connection, runners, [{"id": runner, "pool": pool}])
    guarded = update(runners).where(runners.c.id == runner, runners.c.ended.is_(None))
    if connection.execute(guarded.values(ended=now, reason=to_text(reason))).rowcount != 1:
        return False
    tasks.lose(connection, runner, reason, now)
    never_spoke = select(runners.c.id).where(runners.c.id == runner, runners.c.hello.is_(None))
    if connection.execute(never_spoke).first() is not None and not _is_paused(connection, pool):
        words = reason.words or reason.sentence
        events.record(connection, job_of_pool(pool), "runner_ended", now, runner=runner, reason=reason)
        early = update(pools).where(pools.c.id == pool)
        connection.execute(early.values(early_deaths=pools.c.early_deaths + 1, last_words=words))
    return True


def _is_paused(connection: Connection, pool: PoolId) -> bool:
    """Whether runners that have not begun are given up on purpose."""
    return bool(jobs.row_of(connection, job_of_pool(pool)).target == Target.PAUSED)


def speaks(connection: Connection, runner: RunnerId, now: float) -> str:
    """A runner called: the job that it works for.

    Raises:
        PoolReleasedError: its pool is unknown or done, or this runner was seen to have ended.
    """
    row = connection.execute(_POOL, {"of_pool": pool_of_runner(runner)}).one_or_none()
    if row is None or row.released:
        raise PoolReleasedError(f"There is no more work for {runner}.")
    seen = connection.execute(_ENDED, {"of_runner": runner}).one_or_none()
    if seen is None:
        manifests.insert_missing(connection, runners, [{"id": runner, "pool": row.id, "hello": now}])
    elif seen.ended is not None:
        raise PoolReleasedError(f"{runner} was seen to have ended; its leases are lost.")
    return str(row.job)


def has_greeted(connection: Connection, runner: RunnerId) -> bool:
    """Whether a runner ever said hello."""
    said = select(runners.c.id).where(runners.c.id == runner, runners.c.hello.is_not(None))
    return connection.execute(said).first() is not None


def leftovers(connection: Connection, seen: Sequence[PoolId]) -> list[PoolId]:
    """Those of some pools that nobody knows, or that were released."""
    kept = select(pools.c.id).where(pools.c.id.in_(seen), ~pools.c.released)
    known = set(connection.execute(kept).scalars())
    return [pool for pool in seen if pool not in known]


def count_live(connection: Connection, pool: PoolId) -> int:
    """How many runners of a pool said hello and weren't seen to have ended."""
    query = select(func.count()).where(
        runners.c.pool == pool, runners.c.hello.is_not(None), runners.c.ended.is_(None)
    )
    return int(connection.execute(query).scalar_one())


def live_runners(connection: Connection, cluster: str) -> set[RunnerId]:
    """Runners on a cluster that weren't seen to have ended."""
    query = select(runners.c.id).join(pools, pools.c.id == runners.c.pool)
    query = query.join(jobs_table, jobs_table.c.id == pools.c.job)
    query = query.where(runners.c.ended.is_(None), jobs_table.c.cluster == cluster, ~pools.c.released)
    return {RunnerId(found) for found in connection.execute(query).scalars()}
