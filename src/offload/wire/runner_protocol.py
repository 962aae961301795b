"""Messages between a runner and the launcher, ``/runner/v1``. The runner always dials.

Every call carries the pool's bearer token and is idempotent, so the runner repeats it with back-off until
it is answered. ``lease`` is a long poll that carries everything that is not bulk: free slots and
completions go up; new attempts and orders come down. A call with something to settle is answered at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from offload.model.outcome import Outcome
from offload.model.parameters import Parameters
from offload.model.warning import EarlyWarning

PROTOCOL_VERSION: Final = 1
LEASE_HEADER: Final = "X-Offload-Lease"
"""Carries the lease token of the attempt whose log frames are sent."""
LONG: Final = 1.0
"""Seconds after which a runner gives back the leases behind an attempt that hasn't ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """``POST /runner/v1/hello``: who dials, and what it sees of its machine."""

    runner: str
    protocol: int
    version: str
    hostname: str
    cpus: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a runner needs to know before its first task.

    Attributes:
        job: job id.
        tasks: number of tasks of the job.
        command: argv.
        directory: where below the snapshot's root it starts.
        snapshot: manifest digest.
        cpus: what the pool's resources say.
        memory: limit in bytes, or None.
        gpus: whole GPUs.
        time_limit: seconds per attempt, or None.
        grace: seconds between SIGTERM and SIGKILL.
        env: variables the command sees.
        stdin: blob digest, or None for empty input.
        poll: seconds a lease call may wait at the launcher.
        lease_ttl: seconds after which a silent runner's lease may be lost.
        checkpoint_every: seconds between two looks at what a running task saved in its checkpoint.
        test_preemption: seconds after which a first attempt is interrupted on purpose, or None.
        warn: the signal that tells the script before its time limit, or None.
        parameters: what makes the tasks differ; the runner looks up the values of each task itself.
    """

    job: str
    tasks: int
    command: tuple[str, ...]
    directory: str
    snapshot: str
    cpus: float
    memory: int | None
    gpus: int
    time_limit: float | None
    grace: float
    env: dict[str, str]
    stdin: str | None
    poll: float
    lease_ttl: float
    checkpoint_every: float = 60.0
    test_preemption: float | None = None
    warn: EarlyWarning | None = None
    parameters: Parameters | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An attempt's end; repeated until the launcher has settled its token.

    Attributes:
        token: of its lease.
        outcome: how it ended.
        took: seconds from its beginning, setting up included, to its end.
        age: seconds since its end. Two spans need no clock that both sides agree on.
        output: the last frames that it printed, where they haven't been sent.
    """

    token: str
    outcome: Outcome
    took: float | None = None
    age: float = 0.0
    output: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """``POST /runner/v1/lease``.

    Attributes:
        runner: who asks.
        free_slots: how many more attempts it could begin now.
        ahead: how many leases it would take beyond those, to begin them one after another.
        holding: tokens of the leases it has; their expiry is renewed.
        completions: ends that the launcher hasn't settled yet.
        returned: tokens of leases that it gives back, because it never began them.
        cancelling: tokens whose cancel order it already carries out, so it isn't told again.
    """

    runner: str
    free_slots: int
    ahead: int = 0
    holding: tuple[str, ...] = ()
    completions: tuple[Completion, ...] = ()
    returned: tuple[str, ...] = ()
    cancelling: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to execute one attempt; ``checkpoint`` is what earlier ones saved, a manifest, or None."""

    token: str
    task: int
    attempt: int
    expires: float
    checkpoint: str | None = None


class OrderKind(StrEnum):
    """What the launcher can tell a runner to do."""

    CANCEL = "cancel"  # end this attempt, with grace, bring home what it made, complete it
    DROP = "drop"  # this lease is lost: end the attempt at once, send nothing more about it
    STOP = "stop"  # there is no more work: end


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order; ``token`` names the attempt for ``cancel`` and ``drop``."""

    kind: OrderKind
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseResponse:
    """What a lease call brings: new attempts, orders, and the completions that are settled.

    ``settled`` lists tokens whose completion was counted, or counted before, or is void because the lease
    was lost, and those that were given back: in each case there is nothing left to say about it.
    """

    leases: tuple[Lease, ...] = ()
    orders: tuple[Order, ...] = ()
    settled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """``POST /runner/v1/checkpoint``: the manifest of what an attempt saved for the next one."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReceipt:
    """``POST /runner/v1/logs``: every frame of the attempt below ``next_seq`` is kept."""

    next_seq: int
