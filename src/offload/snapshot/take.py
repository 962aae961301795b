"""Taking a snapshot: a working directory as the launcher keeps it.

The snapshot is the directory at one moment: after everything was read, the directory is walked once more
while the last files travel, and unless nothing moved the snapshot is taken again, which costs only what
moved. What is read again to be sent must have the digest that it had. Files that are
known from last time (:mod:`~offload.snapshot.statcache`) aren't read, blobs that the launcher has aren't
sent, and the manifest travels as its difference to the last one, so that an edit costs about what was
edited. Whether the launcher still has the last one is asked while the directory is walked.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, FileChangedError, SnapshotUnreadableError
from offload.model.blobs import BlobSink
from offload.model.file_names import shown
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.snapshot.fingerprint import settled
from offload.snapshot.guard import DEFAULT_LIMIT, check_size
from offload.snapshot.own import own_paths
from offload.snapshot.reading import FileChanged, hash_file, read_chunks, unreadable_error
from offload.snapshot.sending import SMALL, Asked, Meter, Progress, SmallFiles, send_files
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
    own: Iterable[Path] = (),
    sink: BlobSink,
    limit: int | None = DEFAULT_LIMIT,
    progress: Progress | None = None,
    without: Iterable[str] = (),
) -> Snapshot:
    """Bring the launcher what it lacks of ``root``.

    Args:
        root: the working directory.
        cache_dir: where what was learned is kept for the next time.
        own: Offload's own directories, which stay out.
        sink: the launcher.
        limit: bytes that may be sent; None lifts the size guard.
        progress: told how many bytes of how many are done.
        without: paths below ``root`` that are sent in another way.

    Raises:
        UsageError: ``root`` is one of Offload's own directories.
        SnapshotUnreadableError: files or directories can't be read; all of them are named.
        LinkLeavesRootError: symbolic links lead out; all of them are in its details.
        SnapshotTooLargeError: it holds more than ``limit``.
        FileChangedError: files kept changing.
        LauncherUnreachableError: the launcher went away; calling again sends only the rest.
    """
    real = os.path.realpath(os.fsencode(root))
    if not os.path.isdir(real):
        raise SnapshotUnreadableError(f"{os.fspath(root)} is no directory.")
    kept_out = own_paths(real, own) | {path.encode() for path in without}
    cache = StatCache.load(cache_dir, real)
    taking = _Taking(real, cache, sink, Meter(progress))
    changed = b""
    for _ in range(_TRIES):
        tree = walk(real, kept_out)
        check_size(tree, limit)
        try:
            manifest, digest = taking.take(tree, lambda: walk(real, kept_out))
        except FileChanged as change:
            changed = change.path
            continue
        files = sum(entry.kind is Kind.FILE for entry in manifest.entries)
        return Snapshot(manifest, digest, files, taking.bytes_sent, tree.notices)
    raise FileChangedError(
        f"{shown(changed)} kept changing while the working directory was read.",
        next_step="Wait until nothing writes to it, or name it in .offloadignore.",
        details={"path": os.fsdecode(changed)},
    )


class _Taking:
    """One snapshot, in as many tries as it takes.

    Attributes:
        bytes_sent: in all tries together.
    """

    def __init__(self, root: bytes, cache: StatCache, sink: BlobSink, meter: Meter) -> None:
        self.bytes_sent = 0
        self._root = root
        self._cache = cache
        self._sink = sink
        self._meter = meter
        self._base = cache.base()
        self._base_is_there = Asked(sink, self._base[0] if self._base else "")

    def take(self, tree: Tree, look_again: Callable[[], Tree]) -> tuple[Manifest, str]:
        known = {node.path: self._cache.digest(node) for node in tree.nodes if node.kind is Kind.FILE}
        unknown = [node for node in tree.nodes if node.path in known and known[node.path] is None]
        if unknown:
            self._base_is_there.answer()  # before anything else is asked of the launcher
        with SmallFiles(self._sink, self._meter) as small:
            digests = {**known, **self._read(unknown, tree.unreadable, small)}
            if unknown:
                _demand_still(tree, look_again())
                self._cache.save(tree.nodes)
            manifest = Manifest(tuple(entry_of(node, digests.get(node.path) or "") for node in tree.nodes))
            data = manifest.encode()
            digest = digest_of(data)
        self.bytes_sent += small.bytes_sent
        if not self._is_there(digest):
            pairs = zip(manifest.entries, tree.nodes, strict=True)
            files = {entry.digest: node for entry, node in pairs if entry.digest}
            self._send({name: node for name, node in files.items() if name not in small.there}, digest, data)
            self._cache.save_base(data)
        return manifest, digest

    def _is_there(self, digest: str) -> bool:
        there = self._base_is_there.answer()
        return there if self._base and digest == self._base[0] else self._sink.has_manifest(digest)

    def _read(self, nodes: list[Node], unreadable: tuple[bytes, ...], small: SmallFiles) -> dict[bytes, str]:
        """Digests of files by path; the small ones are on their way then."""
        digests: dict[bytes, str] = {}
        refused, fresh = list(unreadable), list[Node]()
        self._meter.expect(sum(node.fingerprint.size for node in nodes if node.fingerprint.size <= SMALL))
        for node in nodes:
            started = time.time_ns()
            try:
                digests[node.path] = self._read_one(node, small)
            except SnapshotUnreadableError:
                refused.append(node.path)
                continue
            self._cache.learn(node, digests[node.path], started)
            if not settled(node.fingerprint, started):
                fresh.append(node)
        if refused:
            raise unreadable_error(refused)
        for node in fresh:  # somebody who goes on writing within the same tick would leave no other trace
            if hash_file(self._root, node) != digests[node.path]:
                raise FileChanged(node.path)
        return digests

    def _read_one(self, node: Node, small: SmallFiles) -> str:
        if node.fingerprint.size > SMALL:
            return hash_file(self._root, node)
        data = b"".join(read_chunks(self._root, node))
        digest = digest_of(data)
        small.add(digest, data)
        return digest

    def _send(self, files: dict[str, Node], digest: str, data: bytes) -> None:
        base = self._base
        if base and self._base_is_there.answer():
            there = {"sha256:" + known.decode() for known in _DIGEST.findall(base[1])}
            # The launcher may have let go of the other manifest's blobs since it was asked.
            with contextlib.suppress(BlobMissingError):
                self._send_missing({name: node for name, node in files.items() if name not in there})
                self.bytes_sent += self._sink.put_manifest(digest, data, base=base)
                return
        self._send_missing(files)
        self.bytes_sent += self._sink.put_manifest(digest, data)

    def _send_missing(self, files: dict[str, Node]) -> None:
        missing = self._sink.missing(list(files))
        lacking = {name: node for name, node in files.items() if name in missing}
        self._meter.expect(sum(node.fingerprint.size for node in lacking.values()))
        self.bytes_sent += send_files(self._root, lacking, self._sink, self._meter)


def entry_of(node: Node, digest: str) -> Entry:
    """The manifest's line about what a walk found; ``digest`` of a file's content, else empty."""
    return Entry(node.path, node.kind, node.mode, node.fingerprint.size, digest, node.target)


def _demand_still(before: Tree, after: Tree) -> None:
    if after.nodes != before.nodes:
        raise FileChanged(min(set(after.nodes) ^ set(before.nodes)).path)
