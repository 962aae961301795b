"""What a backend sees of a runner. Only ``lifecycle`` decides what an observation means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from offload.model.ids import PoolId, RunnerId
from offload.model.reasons import Reason


class Phase(StrEnum):
    """The five things that can be seen of a runner from outside."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at one runner, or at a pool that has no runner yet.

    Attributes:
        pool: whose runner it is.
        runner: which one; None speaks of the whole pool (for example: the cluster refuses it).
        phase: what was seen. ``ended`` and ``gone`` promise that no process of the runner is left.
        reason: why it waits, ended or is unknown.
        final: the cluster will never run this pool, for this reason: its tasks fail now instead of waiting.
    """

    pool: PoolId
    phase: Phase
    runner: RunnerId | None = None
    reason: Reason | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Synced:
    """The listing is complete: a runner not named since the watch began does not exist."""
