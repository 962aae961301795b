"""The launcher: every part of it, wired. What the server does is a call of one of these parts."""

from __future__ import annotations

import getpass
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from offload.backends.contract import Endpoint, no_endpoint
from offload.backends.registry import load
from offload.launcher.background import Background
from offload.launcher.clock import Clock, SystemClock
from offload.launcher.cluster_changes import ClusterChanges
from offload.launcher.clusters import Cluster, Clusters, ClusterSettings, Loader, open_cluster
from offload.launcher.content import Content
from offload.launcher.desk import POLL, TTL, Desk
from offload.launcher.expiry import Expiry
from offload.launcher.hub import Hub
from offload.launcher.identity import identity_of, place_of
from offload.launcher.idle import Idle
from offload.launcher.janitor import GRACE, Janitor
from offload.launcher.log_keeper import LogKeeper
from offload.launcher.observer import Observer
from offload.launcher.parameters import TaskParameters
from offload.launcher.reconciler import Reconciler
from offload.launcher.space import Space
from offload.launcher.submissions import Submissions
from offload.launcher.tokens import Tokens
from offload.store import jobs, owner
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
        settings_file: where clusters are added and removed; need not exist.
        clusters: where jobs can run.
        listening: where people reach it.
        retention: seconds for which results and logs are kept; None is for ever.
        idle_limit: seconds after which an idle launcher ends; None is never.
        ttl: seconds after which a silent runner's lease may be lost.
        poll: seconds that a lease call with nothing to say waits.
        grace: seconds for which the janitor spares what was just wanted.
        endpoint: opens the place where runners are served that arrive through a tunnel.
    """

    data: Path
    store: str
    address: str
    settings_file: Path
    clusters: Sequence[ClusterSettings] = ()
    listening: tuple[str, ...] = ()
    retention: float | None = None
    idle_limit: float | None = None
    ttl: float = TTL
    poll: float = POLL
    grace: float = GRACE
    endpoint: Callable[[], Awaitable[Endpoint]] = no_endpoint


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
    parameters: TaskParameters
    reconciler: Reconciler
    changes: ClusterChanges
    expiry: Expiry
    janitor: Janitor
    idle: Idle
    space: Space
    user: str
    started: float
    background: Background
    end: Callable[[], None] = lambda: None

    @classmethod
    def open(cls, config: Config, *, clock: Clock | None = None, loader: Loader = load) -> Launcher:
        """Open the store and load the backends; nothing runs yet.

        Raises:
            SettingsError: the store's URL or a cluster's settings aren't valid.
            StoreError: the store can't be opened, or is another launcher's.
        """
        clock = clock or SystemClock()
        hub = Hub()
        store = _open_store(config)
        tokens = Tokens.open(config.data / "secret")

        def opener(wanted: ClusterSettings) -> Cluster:
            return open_cluster(
                wanted,
                config.data / "clusters",
                loader,
                listening=config.listening,
                endpoint=config.endpoint,
            )

        clusters = Clusters.open(config.clusters, clock, opener)
        content = Content(BlobFiles(config.data / "blobs"), store, clock)
        logs = LogKeeper(config.data / "logs", store, hub)
        reconciler = Reconciler(store, hub, clusters, tokens, clock, address=config.address)
        background = Background()
        changes = ClusterChanges(
            config.settings_file,
            clusters,
            background,
            store,
            opener=opener,
            observe=lambda cluster: Observer(cluster, store, hub, clock),
            retell=reconciler.retell,
        )
        return cls(
            config=config,
            clock=clock,
            hub=hub,
            store=store,
            tokens=tokens,
            clusters=clusters,
            content=content,
            logs=logs,
            desk=Desk(store, hub, clock, logs, ttl=config.ttl, poll=config.poll),
            submissions=Submissions(store, hub, clusters, content, clock),
            parameters=TaskParameters(store, content),
            reconciler=reconciler,
            changes=changes,
            expiry=Expiry(store, hub, changes.observers, clock, ttl=config.ttl),
            janitor=Janitor(store, content, logs, hub, clock, retention=config.retention, grace=config.grace),
            idle=Idle(store, clock, config.idle_limit),
            space=Space(clock),
            user=getpass.getuser(),
            started=clock.now(),
            background=background,
        )

    def start(self, end: Callable[[], None]) -> None:
        """Begin to work; ``end`` is called when the launcher should end."""
        self.end = end
        self.changes.start()
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
        self.content.files.close()
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


def _open_store(config: Config) -> Store:
    store = Store.open(config.store)
    try:
        store.run_now(owner.claim, identity_of(config.data), place_of(config.data))
    except BaseException:
        store.close()
        raise
    return store
