"""The configured clusters: their backends, how they are, and whether a request could ever fit.

A cluster whose backend can't be loaded is still a cluster: it is listed with its reason, and the jobs that it
has wait with that reason, because the backend may be there again after the next start. It gets no new ones:
only the backend can say what a request lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from offload.backends.contract import (
    Backend,
    BackendContext,
    Capabilities,
    Endpoint,
    Health,
    no_endpoint,
)
from offload.backends.registry import load
from offload.errors import (
    BackendUnavailableError,
    OffloadError,
    SettingsError,
    TooLargeForClusterError,
    UnknownClusterError,
)
from offload.launcher.clock import Clock
from offload.model.diagnosis import Diagnosis, Finding
from offload.model.resources import Resources, format_cpus, format_gpus, format_memory
from offload.model.spec import Spec
from offload.wire.api import ClusterView

Loader = Callable[[str, BackendContext], Backend]
_FRESH: Final = 5.0
"""Seconds for which a look at a cluster is good."""
_PATIENCE: Final = 10.0
"""Seconds a cluster gets to say how it is."""
_DIAGNOSIS: Final = 45.0
"""Seconds a thorough look may take; the command line waits for a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """A cluster as it is configured.

    Attributes:
        name: what people call it.
        backend: which backend runs things there.
        settings: the rest, for the backend to validate.
        lines: the lines of ``config.toml`` on which keys of it stand, by their path; ``()`` is the table.
    """

    name: str
    backend: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict, compare=False, repr=False)

    def place(self, path: Sequence[str]) -> str:
        """``line 3: `` for the key, or for the nearest table around it that has a line."""
        for depth in range(len(path), -1, -1):
            if line := self.lines.get(tuple(path[:depth])):
                return f"line {line}: "
        return ""


class Cluster:
    """One cluster.

    Attributes:
        name: what people call it.
        kind: the backend's name.
        settings: how it is configured.
        problem: what the observer's watch of it complains about; empty when nothing.
    """

    def __init__(self, settings: ClusterSettings, backend: Backend | BackendUnavailableError) -> None:
        self.name = settings.name
        self.kind = settings.backend
        self.settings = settings
        self.problem = ""
        self._backend = backend
        self._health: tuple[float, Health] | None = None

    @property
    def backend(self) -> Backend:
        """The backend; raises ``BackendUnavailableError`` when it couldn't be loaded."""
        if isinstance(self._backend, BackendUnavailableError):
            raise self._backend
        return self._backend

    @property
    def is_usable(self) -> bool:
        """Whether the backend could be loaded."""
        return not isinstance(self._backend, BackendUnavailableError)

    @property
    def capabilities(self) -> Capabilities:
        """What the backend can do; nothing when it couldn't be loaded."""
        return self.backend.capabilities if self.is_usable else Capabilities()

    async def health(self, clock: Clock) -> Health:
        """How it is, at most a few seconds ago."""
        if self._health is None or clock.monotonic() - self._health[0] > _FRESH:
            self._health = (clock.monotonic(), await self._look())
        health = self._health[1]
        return replace(health, problem=health.problem or self.problem)

    async def _look(self) -> Health:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.backend.check()
        except TimeoutError:
            return Health(available=False, problem=f"It doesn't answer within {_PATIENCE:g} s.")
        except OffloadError as error:
            return Health(available=False, problem=f"{error.sentence} {error.next_step}".strip())
        except Exception as error:  # noqa: BLE001  whatever a backend raises is the cluster's problem
            return Health(available=False, problem=f"It can't be asked: {error!r}")

    def admit(self, spec: Spec, user: str) -> Spec:
        """What the backend makes of a request.

        Raises:
            BackendUnavailableError: it couldn't be loaded, so nobody knows what the request lacks.
            UsageError: the cluster doesn't have, or doesn't allow, what is asked.
        """
        return self.backend.admit(spec, user)

    def view(self, health: Health) -> ClusterView:
        """What people see."""
        return ClusterView(
            name=self.name,
            backend=self.kind,
            available=health.available,
            problem=health.problem,
            capacity=health.capacity,
            free=health.free,
            enforces=dict(self.capabilities.enforces),
            session_env=tuple(self.capabilities.session_env),
            profiles=dict(self.capabilities.profiles),
            mounts=dict(self.capabilities.mounts),
            images=dict(self.capabilities.images),
        )

    async def diagnose(self) -> Diagnosis:
        """A thorough look; what keeps it from being taken is a finding, too."""
        try:
            async with asyncio.timeout(_DIAGNOSIS):
                return await self.backend.diagnose()
        except TimeoutError:
            return _undiagnosed(f"It wasn't looked at within {_DIAGNOSIS:g} s.", "Is it reachable from here?")
        except OffloadError as error:
            return _undiagnosed(error.sentence, error.next_step)
        except Exception as error:  # noqa: BLE001  whatever a backend raises is the cluster's problem
            return _undiagnosed(f"It can't be looked at: {error!r}", "")

    async def aclose(self) -> None:
        """Let go of it; its runners go on."""
        if self.is_usable:
            await self.backend.aclose()


class Clusters:
    """All clusters, by name."""

    def __init__(self, clusters: Iterable[Cluster], clock: Clock) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._clock = clock

    @classmethod
    def open(
        cls,
        settings: Iterable[ClusterSettings],
        clock: Clock,
        opener: Callable[[ClusterSettings], Cluster],
    ) -> Clusters:
        """Open each.

        Raises:
            SettingsError: the settings of some aren't valid; all of them are named.
        """
        clusters: list[Cluster] = []
        wrong: list[SettingsError] = []
        for wanted in settings:
            try:
                clusters.append(opener(wanted))
            except SettingsError as error:
                wrong.append(error)
        if wrong:
            raise SettingsError(
                "\n".join(error.sentence for error in wrong),
                next_step="\n".join(dict.fromkeys(error.next_step for error in wrong)),
            )
        return cls(clusters, clock)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._clusters.values())

    def get(self, name: str) -> Cluster:
        """A cluster; raises ``UnknownClusterError`` with the right names."""
        if name not in self._clusters:
            names = ", ".join(sorted(self._clusters))
            raise UnknownClusterError(
                f"There is no cluster called {name!r}.",
                next_step=f"The clusters are: {names}.",
                details={"clusters": sorted(self._clusters)},
            )
        return self._clusters[name]

    def find(self, name: str) -> Cluster | None:
        """A cluster, if there is one of this name."""
        return self._clusters.get(name)

    def put(self, cluster: Cluster) -> None:
        """Put a cluster in."""
        self._clusters[cluster.name] = cluster

    def pop(self, name: str) -> Cluster | None:
        """Take a cluster out."""
        return self._clusters.pop(name, None)

    def backend(self, name: str) -> Backend:
        """The backend of a cluster that a job was sent to, maybe in another configuration.

        Raises:
            BackendUnavailableError: it couldn't be loaded, or the cluster isn't configured any more.
        """
        if name not in self._clusters:
            raise BackendUnavailableError(
                f"The cluster {name} isn't configured any more.",
                next_step=f"Add it again and its jobs go on: offload clusters add {name}",
            )
        return self._clusters[name].backend

    async def view(self, name: str) -> ClusterView:
        """One cluster as people see it; raises ``UnknownClusterError``."""
        cluster = self.get(name)
        return cluster.view(await cluster.health(self._clock))

    async def views(self) -> tuple[ClusterView, ...]:
        """Every cluster as people see it."""
        clusters = list(self._clusters.values())
        healths = await asyncio.gather(*(cluster.health(self._clock) for cluster in clusters))
        return tuple(cluster.view(health) for cluster, health in zip(clusters, healths, strict=True))

    async def admit(self, spec: Spec, user: str) -> Spec:
        """The spec with the cluster's defaults for what it leaves open, and the most memory that there is.

        Raises:
            UnknownClusterError: there is no such cluster.
            BackendUnavailableError: its backend couldn't be loaded.
            UsageError: the cluster doesn't have, or doesn't allow, what is asked.
            TooLargeForClusterError: one task needs more than the cluster could ever give.
        """
        cluster = self.get(spec.cluster)
        spec = cluster.admit(replace(spec, memory_limit=None), user)
        resources = spec.resources
        if resources.memory is None:
            resources = replace(resources, memory=cluster.capabilities.default.memory)
        health = await cluster.health(self._clock)
        if health.capacity is not None and (excess := exceeding(resources, health.capacity)):
            raise _too_large(cluster.name, excess, health.capacity)
        limits = (spec.memory_limit, health.capacity.memory if health.capacity else None)
        return replace(spec, resources=resources, memory_limit=min(filter(None, limits), default=None))

    async def aclose(self) -> None:
        """Let go of every cluster."""
        for cluster in self._clusters.values():
            await cluster.aclose()


def open_cluster(
    wanted: ClusterSettings,
    directory: Path,
    loader: Loader = load,
    *,
    listening: tuple[str, ...] = (),
    endpoint: Callable[[], Awaitable[Endpoint]] = no_endpoint,
) -> Cluster:
    """The cluster with its backend, or with the reason why that can't be loaded.

    Args:
        wanted: how it is configured.
        directory: its private directory is ``directory/NAME``.
        loader: makes a backend.
        listening: where the launcher listens.
        endpoint: opens the place where runners are served that arrive through a tunnel.

    Raises:
        SettingsError: the backend refuses the settings.
    """
    own = directory / wanted.name
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    context = BackendContext(
        cluster=wanted.name,
        directory=own,
        settings=wanted.settings,
        listening=listening,
        endpoint=endpoint,
    )
    return Cluster(wanted, _load(wanted, context, loader))


def _undiagnosed(sentence: str, next_step: str) -> Diagnosis:
    return Diagnosis(
        findings=(Finding(about="backend", works=False, sentence=sentence, next_step=next_step),)
    )


def _load(
    wanted: ClusterSettings, context: BackendContext, loader: Loader
) -> Backend | BackendUnavailableError:
    try:
        return loader(wanted.backend, context)
    except BackendUnavailableError as error:
        return error
    except SettingsError as error:
        raise _located(wanted, error) from error


def _located(wanted: ClusterSettings, error: SettingsError) -> SettingsError:
    """The same mistakes, with the lines on which they stand."""
    mistakes: list[tuple[list[str], str]] = error.details.get("mistakes", [])
    told = [f"{wanted.place(path)}{'.'.join(path)}: {sentence}" for path, sentence in mistakes]
    sentence = f"The settings of the cluster {wanted.name} aren't valid: {'; '.join(told)}."
    return SettingsError(
        sentence if told else f"{wanted.place(())}{error.sentence}",
        next_step=error.next_step,
        details=error.details,
    )


def exceeding(asked: Resources, capacity: Resources) -> list[str]:
    """What is more than the capacity, in words: ``8 CPUs (at most 4)``."""
    found: list[str] = []
    if asked.cpus > capacity.cpus:
        found.append(f"{format_cpus(asked.cpus)} (at most {capacity.cpus:g})")
    if asked.memory and capacity.memory and asked.memory > capacity.memory:
        found.append(f"{format_memory(asked.memory)} memory (at most {format_memory(capacity.memory)})")
    if asked.gpus > capacity.gpus:
        found.append(f"{format_gpus(asked.gpus)} (at most {capacity.gpus})")
    return found


def _too_large(cluster: str, excess: list[str], capacity: Resources) -> TooLargeForClusterError:
    memory = f" --memory {capacity.memory // (1 << 20)}Mi" if capacity.memory else ""
    gpus = f" --gpus {capacity.gpus}" if capacity.gpus else ""
    return TooLargeForClusterError(
        f"One task needs more than the cluster {cluster} could ever give: {', '.join(excess)}.",
        next_step=f"The largest request that fits is --cpus {capacity.cpus:g}{memory}{gpus}.",
        details={
            "capacity": {"cpus": capacity.cpus, "memory": capacity.memory, "gpus": capacity.gpus},
        },
    )
