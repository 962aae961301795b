"""Who may start next on this machine: pure, property-tested, and readable as a rule.

First come, first served. Where the next in line doesn't fit, smaller ones behind it may start meanwhile, but
only for a while (*patience*); after that the machine drains until it fits. Its clock starts when it was
submitted, or when its pool last got a runner. So the machine isn't idle behind a large task, and a large task
doesn't wait for ever behind small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from offload.model.ids import PoolId
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources, format_cpus, format_gpus, format_memory

_ROUNDING: Final = 1e-6
"""Ten tenths of a CPU are one CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pool that wants more runners than it has.

    Attributes:
        pool: which.
        resources: of one runner.
        missing: how many more runners it wants; at least 1.
        live: how many it has.
        since: when its clock started, in seconds since the epoch.
        submitted: its place in the line.
    """

    pool: PoolId
    resources: Resources
    missing: int
    live: int
    since: float
    submitted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What to do now.

    Attributes:
        start: one entry per runner to start, in order.
        waiting: why the pools that have no runner wait.
        recheck: seconds since the epoch at which time alone changes the answer, or None.
    """

    start: tuple[PoolId, ...]
    waiting: dict[PoolId, Reason]
    recheck: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a runner takes from the machine: its request with the open memory filled in."""

    cpus: float
    memory: float
    gpus: int


def demand_of(resources: Resources, capacity: Resources) -> Demand:
    """Memory that was left open counts as the CPUs' share of the machine."""
    memory = resources.memory
    if memory is None:
        share = min(1.0, resources.cpus / capacity.cpus) if capacity.cpus else 1.0
        return Demand(cpus=resources.cpus, memory=share * (capacity.memory or 0), gpus=resources.gpus)
    return Demand(cpus=resources.cpus, memory=float(memory), gpus=resources.gpus)


@dataclass(slots=True)
class Room:
    """What is free."""

    cpus: float
    memory: float
    gpus: int

    @classmethod
    def left(cls, capacity: Resources, running: Iterable[Resources]) -> Room:
        """Capacity without what runs; less than nothing if the capacity was lowered meanwhile."""
        room = cls(capacity.cpus, float(capacity.memory or 0), capacity.gpus)
        for one in running:
            room.take(demand_of(one, capacity))
        return room

    def fits(self, demand: Demand) -> bool:
        """Whether there is room for it."""
        return (
            demand.cpus <= self.cpus + _ROUNDING
            and demand.memory <= self.memory + 1
            and demand.gpus <= self.gpus
        )

    def take(self, demand: Demand) -> None:
        """Use some of it."""
        self.cpus -= demand.cpus
        self.memory -= demand.memory
        self.gpus -= demand.gpus


def refusal(resources: Resources, capacity: Resources) -> Reason | None:
    """Why a request can never fit; None when it can."""
    if Room.left(capacity, ()).fits(demand_of(resources, capacity)):
        return None
    asked, have = _words(resources), _words(capacity)
    sentence = f"The task needs {asked}, and this machine has {have} for all tasks together."
    return Reason(code=ReasonCode.REFUSED, sentence=sentence)


def admit(
    capacity: Resources,
    running: Sequence[Resources],
    requests: Iterable[Request],
    *,
    now: float,
    patience: float,
) -> Admission:
    """Which runners to start now. Requests that can never fit must have been refused before."""
    room = Room.left(capacity, running)
    start: list[PoolId] = []
    waiting: dict[PoolId, Reason] = {}
    clocks: list[float] = []
    drained_for: PoolId | None = None
    for request in sorted(requests, key=lambda one: (one.submitted, one.pool)):
        demand = demand_of(request.resources, capacity)
        begun = 0
        while drained_for is None and begun < request.missing and room.fits(demand):
            room.take(demand)
            start.append(request.pool)
            begun += 1
        if begun == request.missing:
            continue
        since = now if begun else request.since
        if drained_for is None and now >= since + patience:
            drained_for = request.pool
        clocks.append(since + patience)
        if not request.live and not begun:
            waiting[request.pool] = _wait(request, room, len(running) + len(start), drained_for)
    due = [clock for clock in clocks if clock > now]
    return Admission(start=tuple(start), waiting=waiting, recheck=min(due, default=None))


def _wait(request: Request, room: Room, busy: int, drained_for: PoolId | None) -> Reason:
    free = f"{format_cpus(max(0.0, round(room.cpus, 3)))} and {format_memory(max(0.0, room.memory))} are free"
    if request.resources.gpus:
        free = f"{format_gpus(max(0, room.gpus))}, {free}"
    runs = f"{busy} other runner{'s' if busy != 1 else ''} {'are' if busy != 1 else 'is'} at work"
    sentence = f"Waits for {_words(request.resources)} on this machine: {free}, {runs}."
    if drained_for not in (None, request.pool):
        sentence += " A larger task in front has waited long, so nothing passes it now."
    return Reason(code=ReasonCode.WAITING_FOR_CAPACITY, sentence=sentence)


def _words(resources: Resources) -> str:
    parts = [format_cpus(resources.cpus)]
    if resources.memory is not None:
        parts.append(f"{format_memory(resources.memory)} of memory")
    if resources.gpus:
        parts.append(f"{resources.gpus} GPU{'s' if resources.gpus != 1 else ''}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
