"""Clusters that come, change and go while the launcher works.

A change is written before it holds: the backend takes the settings, the file gets them, then the running
launcher. So a launcher that dies in between finds either the old settings or the new ones in its file, and
asking again leads to the same end. The file belongs to people: it is replaced in one step, and only if it
still says what was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from offload.errors import ClusterBusyError, ClusterExistsError, SettingsError
from offload.launcher.background import Background
from offload.launcher.clusters import Cluster, Clusters, ClusterSettings
from offload.launcher.observer import Observer
from offload.launcher.settings_text import with_cluster, without_cluster
from offload.store import jobs
from offload.store.engine import Store

_log = logging.getLogger(__name__)
LOCAL: Final = "local"
_ATTEMPTS: Final = 5
"""How often a file that somebody else writes at the same time is read again."""


class ClusterChanges:
    """Watches every cluster, and puts clusters in and out.

    Args:
        file: ``config.toml``; it need not exist.
        clusters: those of the launcher.
        background: where observers run.
        store: to look for jobs there.
        opener: makes a cluster of its settings.
        observe: makes the observer of a cluster.
        retell: has a job's wishes told to a backend that knows nothing of them.

    Attributes:
        observers: the observer of each cluster, by its name.
    """

    def __init__(
        self,
        file: Path,
        clusters: Clusters,
        background: Background,
        store: Store,
        *,
        opener: Callable[[ClusterSettings], Cluster],
        observe: Callable[[Cluster], Observer],
        retell: Callable[[str], None],
    ) -> None:
        self._file = file
        self._clusters = clusters
        self._background = background
        self._store = store
        self._opener = opener
        self._observe = observe
        self._retell = retell
        self.observers = {cluster.name: observe(cluster) for cluster in clusters}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()

    def start(self) -> None:
        """Begin to watch every cluster."""
        for cluster in self._clusters:
            self._watch(cluster)

    async def put(self, wanted: ClusterSettings, *, replace: bool = False) -> bool:
        """Add a cluster, or with ``replace`` change one; whether it is new.

        Raises:
            ClusterExistsError: there is one with other settings, and it isn't to be replaced.
            SettingsError: the backend refuses the settings, or the file can't be changed.
            BackendUnavailableError: the backend can't be loaded.
        """
        async with self._lock:
            known = self._clusters.find(wanted.name)
            if known is not None and known.settings == wanted and known.is_usable:
                return False
            if known is not None and not replace:
                raise _exists(known)
            cluster = self._opener(wanted)
            _ = cluster.backend
            table = {"backend": wanted.backend, **wanted.settings}
            await asyncio.to_thread(_rewrite, self._file, lambda text: with_cluster(text, wanted.name, table))
            await self._swap(known, cluster)
            _log.info("Cluster %s is configured.", wanted.name, extra={"action": "cluster"})
            return known is None

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a cluster; one that isn't there is no error.

        Raises:
            ClusterBusyError: jobs there are unfinished, and it isn't forced.
            SettingsError: it is this machine's own, or the file can't be changed.
        """
        async with self._lock:
            if name == LOCAL:
                raise _always_there(self._file)
            busy = await self._store.run(jobs.unfinished, name)
            if busy and not force:
                raise _busy(name, busy)
            await asyncio.to_thread(_rewrite, self._file, lambda text: without_cluster(text, name))
            cluster = self._clusters.pop(name)
            await self._end_watch(name)
            if cluster is not None:
                await cluster.aclose()
            _log.info("Cluster %s is removed.", name, extra={"action": "cluster"})

    async def _swap(self, before: Cluster | None, cluster: Cluster) -> None:
        await self._end_watch(cluster.name)
        self._clusters.put(cluster)
        self.observers[cluster.name] = self._observe(cluster)
        self._watch(cluster)
        if before is not None:
            await before.aclose()
        for job in await self._store.run(jobs.unfinished, cluster.name):
            self._retell(job)

    def _watch(self, cluster: Cluster) -> None:
        observer = self.observers[cluster.name]
        self._watching[cluster.name] = self._background.start(f"observer of {cluster.name}", observer.run)

    async def _end_watch(self, name: str) -> None:
        self.observers.pop(name, None)
        if watching := self._watching.pop(name, None):
            watching.cancel()
            await asyncio.wait([watching])


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Replace a file by what ``change`` makes of it, unless somebody else changes it meanwhile.

    Raises:
        SettingsError: it can't be read or written, or is changed again and again.
    """
    # A link, as managers of such files make, stays one.
    path = path.resolve()
    try:
        for _ in range(_ATTEMPTS):
            before = path.read_bytes() if path.exists() else None
            after = change((before or b"").decode("utf-8")).encode()
            if after == (before or b"") or _replace(path, before, after):
                return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The settings in {path} can't be changed: {error}.",
            next_step="Make the file and its directory writable for the launcher's user.",
        ) from error
    raise SettingsError(
        f"The settings in {path} are being changed by another program.", next_step="Try again."
    )


def _replace(path: Path, before: bytes | None, after: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            Path(name).chmod(path.stat().st_mode & 0o777)
        if (path.read_bytes() if path.exists() else None) != before:
            return False
        Path(name).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    return True


def _exists(known: Cluster) -> ClusterExistsError:
    return ClusterExistsError(
        f"There is a cluster {known.name} already, with other settings.",
        next_step="Choose another name, or give it these settings instead of its own with --replace.",
    )


def _busy(name: str, busy: list[str]) -> ClusterBusyError:
    shown = ", ".join(busy[:5]) + (" …" if len(busy) > 5 else "")  # noqa: PLR2004
    return ClusterBusyError(
        f"The cluster {name} has jobs that aren't finished: {shown}.",
        next_step="Wait for them or cancel them. With --force it is removed anyway: what runs there goes on, "
        "and the rest waits until a cluster of this name is added again.",
        details={"jobs": busy},
    )


def _always_there(file: Path) -> SettingsError:
    return SettingsError(
        "The cluster local is this machine, which is always there.",
        next_step=f"To keep jobs off this machine write in {file}, below [clusters]: local = false",
    )
