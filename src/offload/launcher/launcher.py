"""The launcher: every part of it, wired. What the server does is a call of one of these parts."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from offload.backends.registry import load
from offload.launcher.background import Background
from offload.launcher.clock import Clock, SystemClock
from offload.launcher.clusters import Clusters, ClusterSettings, Loader
from offload.launcher.content import Content
from offload.launcher.desk import POLL, TTL, Desk
from offload.launcher.expiry import Expiry
from offload.launcher.hub import Hub
from offload.launcher.idle import Idle
from offload.launcher.janitor import GRACE, Janitor
from offload.launcher.log_keeper import LogKeeper
from offload.launcher.observer import Observer
from offload.launcher.reconciler import Reconciler
from offload.launcher.submissions import Submissions
from offload.launcher.tokens import Tokens
from offload.store import jobs
from offload.store.blobs import BlobFiles
from offload.store.engine import Store
from offload.wire.api import API_VERSION, LauncherView


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a launcher needs to know.

    Attributes:
        data: directory of everything that survives it.
        store: SQLAlchemy URL.
        address: where runners dial.
        clusters: where jobs can run.
        listening: where people reach it.
        retention: seconds for which results and logs are kept; None is for ever.
        idle_limit: seconds after which an idle launcher ends; None is never.
        ttl: seconds after which a silent runner's lease may be lost.
        poll: seconds that a lease call with nothing to say waits.
        grace: seconds for which the janitor spares what was just wanted.
    """

    data: Path
    store: str
    address: str
    clusters: Sequence[ClusterSettings] = ()
    listening: tuple[str, ...] = ()
    retention: float | None = None
    idle_limit: float | None = None
    ttl: float = TTL
    poll: float = POLL
    grace: float = GRACE


@dataclass(slots=True, kw_only=True)
class Launcher:
    """One launcher. :meth:`start` and :meth:`stop` it within one event loop."""

    config: Config
    clock: Clock
    hub: Hub
    store: Store
    tokens: Tokens
    clusters: Clusters
    content: Content
    logs: LogKeeper
    desk: Desk
    submissions: Submissions
    reconciler: Reconciler
    observers: dict[str, Observer]
    expiry: Expiry
    janitor: Janitor
    idle: Idle
    user: str
    started: float
    end: Callable[[], None] = lambda: None
    background: Background = field(default_factory=Background)

    @classmethod
    def open(cls, config: Config, *, clock: Clock | None = None, loader: Loader = load) -> Launcher:
        """Open the store and load the backends; nothing runs yet.

        Raises:
            SettingsError: the store's URL or a cluster's settings aren't valid.
            StoreError: the store can't be opened.
        """
        clock = clock or SystemClock()
        hub = Hub()
        store = Store.open(config.store)
        tokens = Tokens.open(config.data / "secret")
        clusters = Clusters.open(config.clusters, config.data / "clusters", clock, loader)
        content = Content(BlobFiles(config.data / "blobs"), store, clock)
        logs = LogKeeper(config.data / "logs", store, hub)
        observers = {cluster.name: Observer(cluster, store, hub, clock) for cluster in clusters}
        return cls(
            config=config,
            clock=clock,
            hub=hub,
            store=store,
            tokens=tokens,
            clusters=clusters,
            content=content,
            logs=logs,
            desk=Desk(store, hub, clock, ttl=config.ttl, poll=config.poll),
            submissions=Submissions(store, hub, clusters, content, clock),
            reconciler=Reconciler(store, hub, clusters, tokens, clock, address=config.address),
            observers=observers,
            expiry=Expiry(store, hub, observers, clock, ttl=config.ttl),
            janitor=Janitor(store, content, logs, hub, clock, retention=config.retention, grace=config.grace),
            idle=Idle(store, clock, config.idle_limit),
            user=getpass.getuser(),
            started=clock.now(),
        )

    def start(self, end: Callable[[], None]) -> None:
        """Begin to work; ``end`` is called when the launcher should end."""
        self.end = end
        for name, observer in self.observers.items():
            self.background.start(f"observer of {name}", observer.run)
        self.background.start("reconciler", self.reconciler.run)
        self.background.start("expiry", self.expiry.run)
        self.background.start("janitor", self.janitor.run)
        self.background.start("idle", lambda: self.idle.run(self.end))

    async def stop(self) -> None:
        """End; runners go on, and the next launcher takes up where this one stopped."""
        self.hub.stop()
        await self.background.aclose()
        await self.reconciler.aclose()
        await self.clusters.aclose()
        self.store.close()

    async def view(self) -> LauncherView:
        """The launcher as people see it."""
        blobs = list(self.content.files)
        return LauncherView(
            version=version("offload"),
            api_version=API_VERSION,
            pid=os.getpid(),
            started=self.started,
            store=self.store.kind,
            listening=self.config.listening,
            unfinished_jobs=await self.store.run(jobs.count_unfinished),
            idle_limit=self.config.idle_limit,
            blobs=len(blobs),
            blob_bytes=sum(blob.size for blob in blobs),
        )
