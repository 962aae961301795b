"""What is known of a job when its next step is planned."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from offload.lifecycle.breaker import may_trip
from offload.lifecycle.job import PoolFacts
from offload.model.counts import Counts
from offload.model.failure import ALIKE, NO_REASON, Failure
from offload.model.growth import can_grow
from offload.model.ids import size_of_pool
from offload.model.states import State, Target
from offload.store import jobs
from offload.store.schema import pools, tasks
from offload.store.views import counts_of, reason_of

_POOLS: Final = select(pools).where(pools.c.job == bindparam("of_job"))


def of_job(connection: Connection, job: str) -> tuple[State, Target, Counts, tuple[PoolFacts, ...]] | None:
    """What the reconciler plans from, the pool of the smallest size first; None when the job isn't there."""
    row = jobs.find(connection, job)
    if row is None:
        return None
    spec, left, failures = jobs.spec_of(row), unfinished_of(connection, row), _first_failures(connection, row)
    found = (
        PoolFacts(
            size=size_of_pool(pool.id),
            pending=left[size_of_pool(pool.id), State.PENDING],
            running=left[size_of_pool(pool.id), State.RUNNING],
            wanted=pool.wanted,
            released=pool.released,
            early_deaths=pool.early_deaths,
            last_words=pool.last_words,
            refused=reason_of(pool.refused),
            max_running=spec.max_running,
            fail_fast=spec.fail_fast,
            failures=failures,
        )
        for pool in connection.execute(_POOLS, {"of_job": job})
    )
    in_order = tuple(sorted(found, key=attrgetter("size")))
    return State(row.state), Target(row.target), counts_of(row), in_order


def unfinished_of(connection: Connection, job: Row[Any]) -> Counter[tuple[int, State]]:
    """How many tasks of a job wait and how many run, by size and state; nearly all are as asked."""
    left = Counter({(0, State.PENDING): job.pending, (0, State.RUNNING): job.running})
    if not can_grow(jobs.spec_of(job)):
        return left
    larger = tasks.c.state.in_(jobs.UNFINISHED) & (tasks.c.size > 0)
    query = select(tasks.c.size, tasks.c.state, func.count()).where(tasks.c.job == job.id, larger)
    for size, state, count in connection.execute(query.group_by(tasks.c.size, tasks.c.state)):
        left[size, State(state)] += count
        left[0, State(state)] -= count
    return left


def _first_failures(connection: Connection, job: Row[Any]) -> tuple[Failure, ...]:
    """How the first tasks failed, as long as that may pause the job."""
    if not may_trip(Target(job.target), counts_of(job), jobs.spec_of(job), tripped=job.tripped):
        return ()
    failed = select(tasks.c.reason, tasks.c.exit_status)
    failed = failed.where(tasks.c.job == job.id, tasks.c.state == State.FAILED)
    rows = connection.execute(failed.order_by(tasks.c.position).limit(ALIKE))
    return tuple(Failure(reason_of(row.reason) or NO_REASON, row.exit_status) for row in rows)
