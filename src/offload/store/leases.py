"""One lease call as one transaction: count what ended, renew what goes on, and say what there is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from offload.lifecycle.batch import Pace, batch_size, room
from offload.model.ids import PoolId, RunnerId, pool_of_runner, size_of_pool
from offload.model.states import State, Target
from offload.store import facts, grants, jobs, pools, tasks
from offload.wire.runner_protocol import LeaseRequest, LeaseResponse, Order, OrderKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a lease call brought about.

    Attributes:
        response: what the runner is told.
        job: whose runner it is.
        changed: whether anything about the job changed.
        goes_on: whether some of its tasks run now.
        concerns_others: whether the job's runners without a task may be told something now.
        due: when there will be something to do that there isn't yet, if that is known.
    """

    response: LeaseResponse
    job: str
    changed: bool
    goes_on: bool
    concerns_others: bool
    due: float | None


def exchange(
    connection: Connection, request: LeaseRequest, now: float, ttl: float, pace: Pace | None = None
) -> Exchange:
    """Do all that a lease call asks for; doing it again changes nothing.

    Args:
        connection: to read and write with.
        request: what the runner says.
        now: seconds.
        ttl: seconds after which a lease expires.
        pace: of the job's latest attempts, if that is known.

    Raises:
        PoolReleasedError: the runner's pool is done, or the runner was seen to have ended.
    """
    runner = RunnerId(request.runner)
    pool = pool_of_runner(runner)
    job = pools.speaks(connection, runner, now)
    before = row = jobs.row_of(connection, job)
    settled = tasks.settle(connection, runner, request.completions, now, request.returned)
    working = [token for token in request.holding if token not in settled]
    held = tasks.renew(connection, runner, working, now + ttl)
    if settled:
        row = jobs.row_of(connection, job)
    retried, ended = row.pending > before.pending, State(row.state).is_terminal
    slots = _room(connection, request, row, pool, held=len(working), pace=pace)
    ahead = slots - request.free_slots
    leases = grants.grant(connection, runner, slots=slots, ahead=ahead, known=working, now=now, ttl=ttl)
    orders = _orders(request, working, held, cancelled=row.target == Target.CANCELLED)
    if slots and not held and not leases and _is_superfluous(connection, row, pool):
        orders.append(Order(kind=OrderKind.STOP))
    left_room = bool(row.pending) and not leases and jobs.spec_of(row).max_running is not None
    return Exchange(
        response=LeaseResponse(leases=tuple(leases), orders=tuple(orders), settled=tuple(settled)),
        job=job,
        changed=bool(settled or leases),
        goes_on=bool(leases or row.running),
        concerns_others=bool(settled) and (retried or ended or left_room),
        due=grants.next_due(connection, job, now) if slots and row.pending and not leases else None,
    )


def _room(
    connection: Connection,
    request: LeaseRequest,
    job: Row[Any],
    pool: PoolId,
    *,
    held: int,
    pace: Pace | None,
) -> int:
    batch = 1
    if pace is not None and request.ahead and job.pending:
        runners = pools.count_live(connection, pool)
        batch = batch_size(pace, pending=job.pending, runners=runners)
    return room(batch, idle=request.free_slots, ahead=request.ahead, held=held)


def _orders(request: LeaseRequest, working: list[str], held: set[str], *, cancelled: bool) -> list[Order]:
    untold = held - set(request.cancelling) if cancelled else ()
    cancel = [Order(kind=OrderKind.CANCEL, token=token) for token in working if token in untold]
    return cancel + [Order(kind=OrderKind.DROP, token=token) for token in working if token not in held]


def _is_superfluous(connection: Connection, job: Row[Any], pool: PoolId) -> bool:
    """Whether a runner without work can end: its size has none, and enough others for what still runs."""
    if State(job.state).is_terminal:
        return True
    left, size = facts.unfinished_of(connection, job), size_of_pool(pool)
    if left[size, State.PENDING] and Target(job.target) is not Target.PAUSED:
        return False
    wanted = pools.wanted_of(connection, pool)
    return wanted is not None and wanted <= grants.count_holders(connection, job.id, size)
