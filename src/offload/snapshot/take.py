"""Taking a snapshot: a working directory as the launcher keeps it.

The snapshot is the directory at one moment: after everything was read and sent, the directory is walked
once more, and unless nothing moved the snapshot is taken again, which costs only what moved. Files that are
known from last time (:mod:`~offload.snapshot.statcache`) aren't read, blobs that the launcher has aren't
sent, and the manifest travels as its difference to the last one, so that an edit costs about what was
edited.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, FileChangedError, SnapshotUnreadableError
from offload.model.blobs import BlobSink
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.snapshot.guard import DEFAULT_LIMIT, check_size
from offload.snapshot.reading import FileChanged, Progress, hash_file, send_files, unreadable_error
from offload.snapshot.statcache import StatCache
from offload.snapshot.walk import Node, Tree, walk

_TRIES: Final = 5
_DIGEST: Final = re.compile(rb"^f \d+ \d+ ([0-9a-f]{64}) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A working directory that is with the launcher.

    Attributes:
        manifest: what it holds.
        digest: the manifest's name; what a submission names.
        files: how many files it holds.
        bytes_sent: encoded bytes that had to travel, manifest included.
        notices: sentences about what was left out because it can't be sent.
    """

    manifest: Manifest
    digest: str
    files: int
    bytes_sent: int
    notices: tuple[str, ...] = ()


def take_snapshot(
    root: str | Path,
    *,
    cache_dir: Path,
    sink: BlobSink,
    limit: int | None = DEFAULT_LIMIT,
    progress: Progress | None = None,
) -> Snapshot:
    """Bring the launcher what it lacks of ``root``; ``limit`` in bytes, None lifts the size guard.

    Raises:
        SnapshotUnreadableError: files or directories can't be read; all of them are named.
        LinkLeavesRootError: symbolic links lead out; all of them are named.
        SnapshotTooLargeError: it holds more than ``limit``.
        FileChangedError: files kept changing.
        LauncherUnreachableError: the launcher went away; calling again sends only the rest.
    """
    real = os.path.realpath(os.fsencode(root))
    if not os.path.isdir(real):
        raise SnapshotUnreadableError(f"{os.fspath(root)} is no directory.")
    cache = StatCache.load(cache_dir, real)
    sent = 0
    changed = b""
    for _ in range(_TRIES):
        tree = walk(real)
        check_size(tree, limit)
        try:
            taken = _Taking(real, cache, sink, progress).take(tree)
            sent += taken.bytes_sent
            _demand_still(real, tree, read=taken.read)
        except FileChanged as change:
            changed = change.path
            continue
        if taken.read:
            cache.save(tree.nodes)
        files = sum(entry.kind is Kind.FILE for entry in taken.manifest.entries)
        return Snapshot(taken.manifest, taken.digest, files, sent, tree.notices)
    raise FileChangedError(
        f"{os.fsdecode(changed)} kept changing while the working directory was read.",
        next_step="Wait until nothing writes to it, or name it in .offloadignore.",
        details={"path": os.fsdecode(changed)},
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    manifest: Manifest
    digest: str
    bytes_sent: int
    read: bool


@dataclass(frozen=True, slots=True)
class _Taking:
    """One try."""

    root: bytes
    cache: StatCache
    sink: BlobSink
    progress: Progress | None

    def take(self, tree: Tree) -> _Taken:
        known = {node.path: self.cache.digest(node) for node in tree.nodes if node.kind is Kind.FILE}
        unknown = [node for node in tree.nodes if node.path in known and known[node.path] is None]
        digests = {**known, **self._hash_all(unknown, tree.unreadable)}
        manifest = Manifest(tuple(entry_of(node, digests.get(node.path) or "") for node in tree.nodes))
        data = manifest.encode()
        digest = digest_of(data)
        if self.sink.has_manifest(digest):
            return _Taken(manifest, digest, 0, read=bool(unknown))
        pairs = zip(manifest.entries, tree.nodes, strict=True)
        sent = self._send({entry.digest: node for entry, node in pairs if entry.digest}, digest, data)
        self.cache.save_base(data)
        return _Taken(manifest, digest, sent, read=True)

    def _hash_all(self, nodes: list[Node], unreadable: tuple[bytes, ...]) -> dict[bytes, str]:
        digests: dict[bytes, str] = {}
        refused = list(unreadable)
        for node in nodes:
            started = time.time_ns()
            try:
                digests[node.path] = hash_file(self.root, node)
            except SnapshotUnreadableError:
                refused.append(node.path)
                continue
            self.cache.learn(node, digests[node.path], started)
        if refused:
            raise unreadable_error(refused)
        return digests

    def _send(self, files: dict[str, Node], digest: str, data: bytes) -> int:
        base = self.cache.base()
        if base and self.sink.has_manifest(base[0]):
            there = {"sha256:" + known.decode() for known in _DIGEST.findall(base[1])}
            # The launcher may have let go of the other manifest's blobs since it was asked.
            with contextlib.suppress(BlobMissingError):
                new = {name: node for name, node in files.items() if name not in there}
                return self._send_missing(new) + self.sink.put_manifest(digest, data, base=base)
        return self._send_missing(files) + self.sink.put_manifest(digest, data)

    def _send_missing(self, files: dict[str, Node]) -> int:
        missing = self.sink.missing(list(files))
        lacking = {name: node for name, node in files.items() if name in missing}
        return send_files(self.root, lacking, self.sink, self.progress)


def entry_of(node: Node, digest: str) -> Entry:
    """The manifest's line about what a walk found; ``digest`` of a file's content, else empty."""
    return Entry(node.path, node.kind, node.mode, node.fingerprint.size, digest, node.target)


def _demand_still(root: bytes, tree: Tree, *, read: bool) -> None:
    if not read:
        return
    again = walk(root).nodes
    if again != tree.nodes:
        raise FileChanged(min(set(again) ^ set(tree.nodes)).path)
