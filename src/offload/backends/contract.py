"""What a backend must do: keep as many runners of a pool alive as it is told, and say what it sees.

A backend never delivers work and never decides what an end means. Every call is idempotent and derives its
outside names from ``Pool.id`` and the runner's number, so the launcher repeats a call after any crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from offload.errors import BackendUnavailableError, UsageError
from offload.model.diagnosis import Diagnosis, Finding
from offload.model.ids import PoolId
from offload.model.observation import Observation, Synced
from offload.model.resources import Resources
from offload.model.spec import Spec

__all__ = [
    "Backend",
    "BackendContext",
    "BackendFactory",
    "Capabilities",
    "Diagnosis",
    "Endpoint",
    "Finding",
    "Health",
    "Pool",
    "admit_plainly",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The runners of one job with one resource size on one cluster.

    Attributes:
        id: names everything that the backend makes for it.
        user: whose job it is.
        resources: what one runner needs for one task at a time.
        token: bearer token of its runners; secret, never in an argument or annotation.
        launcher: where its runners dial, ``unix:/path`` or ``http(s)://host:port``.
        certificate: the certificate of the launcher, in PEM, which its runners trust alone; empty for those
            that their system trusts.
        submitted: when its job was submitted; first come, first served.
        grace: seconds a runner gets to end its task and return results.
        name: what people call the job.
        home: absolute path of the working directory at home; it appears there too where that can be.
        time_limit: seconds of wall time per attempt, or None.
        tasks: how many tasks the job has.
        image: container image of the tasks.
        profile: name of one of the cluster's profiles.
        mounts: names of the cluster's mounts, ``NAME`` or ``NAME:/path``.
        queue: the cluster's queue that the job waits in.
    """

    id: PoolId
    user: str
    resources: Resources
    token: str = field(repr=False)
    launcher: str
    submitted: float
    grace: float
    certificate: str = ""
    name: str = ""
    home: str = "/"
    time_limit: float | None = None
    tasks: int = 1
    image: str | None = None
    profile: str | None = None
    mounts: tuple[str, ...] = ()
    queue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, told once at start.

    Attributes:
        enforces: how each limit is kept, by limit: ``memory``, ``time``, ``cpus``, ``gpus``.
        session_env: names of session variables that make sense there, because it is this machine.
        default: resources for what a submission leaves open.
        profiles: what each profile of the cluster is, by name.
        mounts: what each mount of the cluster is, by name.
        images: the image of each language, by language, and others that are allowed, as patterns.
    """

    enforces: Mapping[str, str] = field(default_factory=dict)
    session_env: tuple[str, ...] = ()
    default: Resources = field(default_factory=Resources)
    profiles: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


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

    def admit(self, spec: Spec, user: str) -> Spec:
        """The spec with what it leaves open filled in: resources by profile or default, the image, the queue.

        Also ``memory_limit``, where the settings say how much may be asked for: up to that, a task that ran
        out of memory is run again with more.

        Looks at the settings alone, never at the cluster.

        Raises:
            UsageError: the cluster doesn't have, or doesn't allow, what is asked; all of it is named.
            TooLargeForClusterError: one task needs more than may be asked for.
        """

    async def scale(self, pool: Pool, runners: int) -> None:
        """Make ``runners`` the number of runners wanted; those that ended aren't counted.

        Returns as soon as the wish is recorded. Shrinking gives up runners that have not begun; one that runs
        is never ended by it, since only the launcher knows whether it works: the launcher orders it to stop.

        Raises:
            RefusedError: the cluster will never take it; the pool's tasks fail with this sentence.
            OffloadError: not now; the wish is told again.
        """

    async def release(self, pool: PoolId) -> None:
        """End every runner of the pool and remove all that was made for it; nothing left is no error."""

    def watch(self) -> AsyncIterator[Observation | Synced]:
        """Everything that is, then :class:`Synced`, then every change; never ends by itself."""

    async def check(self) -> Health:
        """Look at the cluster now, briefly: it is asked again and again."""

    async def diagnose(self) -> Diagnosis:
        """Look at everything that jobs will need, for whoever sets the cluster up."""

    async def aclose(self) -> None:
        """Stop watching and close connections; runners go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a backend that carries runners' connections itself hands them over.

    Attributes:
        socket: a Unix socket behind which this launcher serves runners over TLS.
        certificate: the certificate that it shows, in PEM; the only one that such runners trust.
    """

    socket: Path
    certificate: str


async def no_endpoint() -> Endpoint:
    """For a launcher that serves nobody."""
    raise BackendUnavailableError("This launcher serves no runners.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendContext:
    """What a backend is given at start.

    Attributes:
        cluster: the cluster's name.
        directory: a private directory for the backend's own state; survives the launcher.
        settings: the cluster's settings, as written; the backend validates them.
        listening: where the launcher listens, ``unix:/path`` and ``http://host:port``.
        endpoint: opens the place where runners are served that arrive through a tunnel.
    """

    cluster: str
    directory: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    listening: tuple[str, ...] = ()
    endpoint: Callable[[], Awaitable[Endpoint]] = no_endpoint


def admit_plainly(spec: Spec, cluster: str) -> Spec:
    """What a cluster makes of a request that has neither images nor profiles, mounts or queues.

    Raises:
        UsageError: the request names any of them.
    """
    asked = {"image": spec.image, "profile": spec.profile, "mount": spec.mounts, "queue": spec.queue}
    if names := [name for name, value in asked.items() if value]:
        raise UsageError(
            f"The cluster {cluster} has no {' and no '.join(f'{name}s' for name in names)}.",
            next_step=f"Leave out {' and '.join(f'--{name}' for name in names)}, or choose another cluster.",
        )
    return replace(spec, left_open=())


class BackendFactory(Protocol):
    """What an entry point of the group ``offload.backends`` names."""

    def __call__(self, context: BackendContext) -> Backend:
        """Make the backend of one cluster.

        Raises:
            SettingsError: the settings aren't valid; ``details["mistakes"]`` lists each as a pair of the path
                of its key below the cluster's table (a list) and a sentence without a full stop, so that
                whoever wrote the file is told the lines.
        """
