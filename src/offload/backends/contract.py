"""What a backend must do: keep as many runners of a pool alive as it is told, and say what it sees.

A backend never delivers work and never decides what an end means. Every call is idempotent and derives its
outside names from ``Pool.id`` and the runner's number, so the launcher repeats a call after any crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from offload.model.ids import PoolId
from offload.model.observation import Observation, Synced
from offload.model.resources import Resources

__all__ = ["Backend", "BackendContext", "BackendFactory", "Capabilities", "Health", "Pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The runners of one job with one resource size on one cluster.

    Attributes:
        id: names everything that the backend makes for it.
        user: whose job it is.
        resources: what one runner needs for one task at a time.
        token: bearer token of its runners; secret, never in an argument or annotation.
        launcher: where its runners dial, ``unix:/path`` or ``http(s)://host:port``.
        submitted: when its job was submitted; first come, first served.
        grace: seconds a runner gets to end its task and return results.
    """

    id: PoolId
    user: str
    resources: Resources
    token: str = field(repr=False)
    launcher: str
    submitted: float
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, told once at start.

    Attributes:
        enforces: how each limit is kept, by limit: ``memory``, ``time``, ``cpus``, ``gpus``.
        session_env: names of session variables that make sense there, because it is this machine.
        default: resources for what a submission leaves open.
    """

    enforces: Mapping[str, str] = field(default_factory=dict)
    session_env: tuple[str, ...] = ()
    default: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a cluster is.

    Attributes:
        available: whether it can take work.
        problem: what doesn't work, and what to do about it; empty when all does.
        capacity: the largest single request that could ever fit; None when unknown.
        free: what fits now; None when unknown.
    """

    available: bool
    problem: str = ""
    capacity: Resources | None = None
    free: Resources | None = None


class Backend(Protocol):
    """One cluster. Used from one event loop; ``aclose`` ends what the object holds, never its runners."""

    capabilities: Capabilities

    async def scale(self, pool: Pool, runners: int) -> None:
        """Make ``runners`` the number of runners wanted; those that ended aren't counted.

        Returns as soon as the wish is recorded. Shrinking gives up runners that have not begun; one that runs
        is never ended by it, since only the launcher knows whether it works: the launcher orders it to stop.
        """

    async def release(self, pool: PoolId) -> None:
        """End every runner of the pool and remove all that was made for it; nothing left is no error."""

    def watch(self) -> AsyncIterator[Observation | Synced]:
        """Everything that is, then :class:`Synced`, then every change; never ends by itself."""

    async def check(self) -> Health:
        """Look at the cluster now."""

    async def aclose(self) -> None:
        """Stop watching and close connections; runners go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendContext:
    """What a backend is given at start.

    Attributes:
        cluster: the cluster's name.
        directory: a private directory for the backend's own state; survives the launcher.
        settings: the cluster's settings, as written; the backend validates them.
    """

    cluster: str
    directory: Path
    settings: Mapping[str, Any] = field(default_factory=dict)


class BackendFactory(Protocol):
    """What an entry point of the group ``offload.backends`` names."""

    def __call__(self, context: BackendContext) -> Backend:
        """Make the backend of one cluster.

        Raises:
            SettingsError: the settings aren't valid.
        """
