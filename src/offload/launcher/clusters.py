"""The configured clusters: their backends, how they are, and whether a request could ever fit.

A cluster whose backend can't be loaded is still a cluster: it is listed with its reason, and its jobs wait
with that reason, because the backend may be there again after the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from offload.backends.contract import Backend, BackendContext, Capabilities, Health
from offload.backends.registry import load
from offload.errors import (
    BackendUnavailableError,
    OffloadError,
    SettingsError,
    TooLargeForClusterError,
    UnknownClusterError,
)
from offload.launcher.clock import Clock
from offload.model.resources import Resources, format_cpus, format_memory
from offload.model.spec import Spec
from offload.wire.api import ClusterView

Loader = Callable[[str, BackendContext], Backend]
_FRESH: Final = 5.0
"""Seconds for which a look at a cluster is good."""
_PATIENCE: Final = 10.0
"""Seconds a cluster gets to say how it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """A cluster as it is configured.

    Attributes:
        name: what people call it.
        backend: which backend runs things there.
        settings: the rest, for the backend to validate.
    """

    name: str
    backend: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class Cluster:
    """One cluster.

    Attributes:
        name: what people call it.
        kind: the backend's name.
        problem: what the observer's watch of it complains about; empty when nothing.
    """

    def __init__(self, settings: ClusterSettings, backend: Backend | BackendUnavailableError) -> None:
        self.name = settings.name
        self.kind = settings.backend
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
    def capabilities(self) -> Capabilities:
        """What the backend can do; nothing when it couldn't be loaded."""
        missing = isinstance(self._backend, BackendUnavailableError)
        return Capabilities() if missing else self.backend.capabilities

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
        )

    async def aclose(self) -> None:
        """Let go of it; its runners go on."""
        if not isinstance(self._backend, BackendUnavailableError):
            await self._backend.aclose()


class Clusters:
    """All clusters, by name."""

    def __init__(self, clusters: Iterable[Cluster], clock: Clock) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._clock = clock

    @classmethod
    def open(
        cls, settings: Iterable[ClusterSettings], directory: Path, clock: Clock, loader: Loader = load
    ) -> Clusters:
        """Load the backend of each; its private directory is ``directory/NAME``.

        Raises:
            SettingsError: the settings of some aren't valid; all of them are named.
        """
        clusters: list[Cluster] = []
        wrong: list[SettingsError] = []
        for wanted in settings:
            try:
                clusters.append(Cluster(wanted, _load(wanted, directory, loader)))
            except SettingsError as error:
                wrong.append(error)
        if wrong:
            raise SettingsError(
                " ".join(error.sentence for error in wrong),
                next_step=" ".join(error.next_step for error in wrong),
            )
        return cls(clusters, clock)

    def __iter__(self) -> Any:
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

    def backend(self, name: str) -> Backend:
        """The backend of a cluster that a job was sent to, maybe in another configuration.

        Raises:
            BackendUnavailableError: it couldn't be loaded, or the cluster isn't configured any more.
        """
        if name not in self._clusters:
            raise BackendUnavailableError(
                f"The cluster {name} isn't configured any more.", next_step="Add it to config.toml again."
            )
        return self._clusters[name].backend

    async def views(self) -> tuple[ClusterView, ...]:
        """Every cluster as people see it."""
        clusters = list(self._clusters.values())
        healths = await asyncio.gather(*(cluster.health(self._clock) for cluster in clusters))
        return tuple(cluster.view(health) for cluster, health in zip(clusters, healths, strict=True))

    async def admit(self, spec: Spec) -> Spec:
        """The spec with the cluster's defaults for what it leaves open.

        Raises:
            UnknownClusterError: there is no such cluster.
            TooLargeForClusterError: one task needs more than the cluster could ever give.
        """
        cluster = self.get(spec.cluster)
        resources = spec.resources
        if resources.memory is None:
            resources = replace(resources, memory=cluster.capabilities.default.memory)
        health = await cluster.health(self._clock)
        if health.capacity is not None and (excess := exceeding(resources, health.capacity)):
            raise _too_large(cluster.name, excess, health.capacity)
        return replace(spec, resources=resources)

    async def aclose(self) -> None:
        """Let go of every cluster."""
        for cluster in self._clusters.values():
            await cluster.aclose()


def _load(wanted: ClusterSettings, directory: Path, loader: Loader) -> Backend | BackendUnavailableError:
    own = directory / wanted.name
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    context = BackendContext(cluster=wanted.name, directory=own, settings=wanted.settings)
    try:
        return loader(wanted.backend, context)
    except BackendUnavailableError as error:
        return error


def exceeding(asked: Resources, capacity: Resources) -> list[str]:
    """What is more than the capacity, in words: ``8 CPUs (at most 4)``."""
    found: list[str] = []
    if asked.cpus > capacity.cpus:
        found.append(f"{format_cpus(asked.cpus)} (at most {capacity.cpus:g})")
    if asked.memory and capacity.memory and asked.memory > capacity.memory:
        found.append(f"{format_memory(asked.memory)} memory (at most {format_memory(capacity.memory)})")
    if asked.gpus > capacity.gpus:
        found.append(f"{asked.gpus} GPUs (at most {capacity.gpus})")
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
