"""One lease call as one transaction: count what ended, renew what goes on, and say what there is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row

from offload.model.ids import RunnerId
from offload.model.states import State, Target
from offload.store import jobs, pools, tasks
from offload.wire.runner_protocol import LeaseRequest, LeaseResponse, Order, OrderKind

MAX_SLOTS: Final = 64
"""Leases that one call brings, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a lease call brought about.

    Attributes:
        response: what the runner is told.
        job: whose runner it is.
        changed: whether anything about the job changed.
        concerns_others: whether the job's runners without a task may be told something now.
    """

    response: LeaseResponse
    job: str
    changed: bool
    concerns_others: bool


def exchange(connection: Connection, request: LeaseRequest, now: float, ttl: float) -> Exchange:
    """Do all that a lease call asks for; doing it again changes nothing.

    Raises:
        PoolReleasedError: the runner's pool is done, or the runner was seen to have ended.
    """
    runner = RunnerId(request.runner)
    job = pools.speaks(connection, runner, now)
    before = row = jobs.row_of(connection, job)
    settled = tasks.settle(connection, runner, request.completions, now)
    working = [token for token in request.holding if token not in settled]
    held = tasks.renew(connection, runner, working, now + ttl)
    if settled:
        row = jobs.row_of(connection, job)
    retried, ended = row.pending > before.pending, State(row.state).is_terminal
    slots = min(request.free_slots, MAX_SLOTS)
    leases = tasks.grant(connection, runner, slots=slots, known=working, now=now, ttl=ttl)
    orders = _orders(request, working, held, cancelled=row.target == Target.CANCELLED)
    if slots and not held and not leases and _is_superfluous(connection, row):
        orders.append(Order(kind=OrderKind.STOP))
    left_room = bool(row.pending) and not leases and jobs.spec_of(row).max_running is not None
    return Exchange(
        response=LeaseResponse(leases=tuple(leases), orders=tuple(orders), settled=tuple(settled)),
        job=job,
        changed=bool(settled or leases),
        concerns_others=bool(settled) and (retried or ended or left_room),
    )


def _orders(request: LeaseRequest, working: list[str], held: set[str], *, cancelled: bool) -> list[Order]:
    untold = held - set(request.cancelling) if cancelled else ()
    cancel = [Order(kind=OrderKind.CANCEL, token=token) for token in working if token in untold]
    return cancel + [Order(kind=OrderKind.DROP, token=token) for token in working if token not in held]


def _is_superfluous(connection: Connection, job: Row[Any]) -> bool:
    """Whether a runner without work can end: there is none left, and enough others for what still runs."""
    if State(job.state).is_terminal:
        return True
    wanted = pools.wanted_of(connection, job.id)
    waits = bool(job.pending) and Target(job.target) is not Target.PAUSED
    return not waits and wanted is not None and wanted <= job.running
