"""Files that travel beside a snapshot: those of which each task gets only its own.

They were named one by one, so no rule leaves any of them out, and a link stands for the file that it leads
to, wherever that is.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from offload.errors import FileChangedError, SnapshotTooLargeError, SnapshotUnreadableError
from offload.model.blobs import BlobSink
from offload.model.file_names import shown
from offload.model.manifest import MODE_BITS, Entry, Kind, Manifest, digest_of
from offload.model.resources import format_size
from offload.snapshot.fingerprint import fingerprint_of
from offload.snapshot.reading import FileChanged, hash_file, read_chunks, unreadable_error
from offload.snapshot.sending import SMALL, Meter, Progress, SmallFiles, send_files
from offload.snapshot.statcache import StatCache
from offload.snapshot.walk import Node

_TRIES: Final = 5
_ASKED: Final = 10_000
"""Digests in one question."""


def send_selection(
    root: Path,
    paths: Sequence[str],
    *,
    cache_dir: Path,
    sink: BlobSink,
    limit: int | None,
    progress: Progress | None = None,
) -> tuple[list[Entry], str]:
    """Bring the launcher what it lacks of these files.

    Args:
        root: the working directory.
        paths: below it, each once.
        cache_dir: where what was learned is kept for the next time.
        sink: the launcher.
        limit: bytes that they may hold together; None lifts the guard.
        progress: told how many bytes of how many are done.

    Returns:
        The manifest's line of each file, in the order of ``paths``, and the digest of the manifest.

    Raises:
        SnapshotTooLargeError: they hold more than ``limit``.
        SnapshotUnreadableError: some can't be read; all of them are named.
        FileChangedError: files kept changing.
    """
    cache = StatCache.load(cache_dir, os.path.realpath(os.fsencode(root)) + b"\0selection")
    changed = b""
    for _ in range(_TRIES):
        try:
            nodes = [_node(root, path) for path in paths]
            _check_size(nodes, limit)
            digests = _send(nodes, cache, sink, Meter(progress))
        except FileChanged as change:
            changed = change.path
            continue
        cache.save(tuple(nodes))
        entries = [_entry(path, node, digests[node.path]) for path, node in zip(paths, nodes, strict=True)]
        data = Manifest.of(entries).encode()
        sink.put_manifest(digest_of(data), data)
        return entries, digest_of(data)
    raise FileChangedError(
        f"{shown(changed)} kept changing while it was read.",
        next_step="Wait until nothing writes to it.",
    )


def _node(root: Path, path: str) -> Node:
    real = os.path.realpath(os.fsencode(root / path))
    try:
        status = os.stat(real)
    except OSError as error:
        raise unreadable_error([os.fsencode(path)]) from error
    if not stat.S_ISREG(status.st_mode):
        raise SnapshotUnreadableError(f"{path} is no file any more.")
    return Node(real, Kind.FILE, status.st_mode & MODE_BITS, fingerprint_of(status))


def _entry(path: str, node: Node, digest: str) -> Entry:
    return Entry(path.encode(), Kind.FILE, node.mode, node.fingerprint.size, digest)


def _check_size(nodes: Sequence[Node], limit: int | None) -> None:
    total = sum(node.fingerprint.size for node in nodes)
    if limit is not None and total > limit:
        raise SnapshotTooLargeError(
            f"The {len(nodes)} files that the tasks work on hold {format_size(total)}; at most"
            f" {format_size(limit)} are sent.",
            next_step=(
                "Raise the limit with --size-limit. Or keep large data elsewhere and let the script use its"
                " absolute path, if the cluster sees that path; `local` does."
            ),
            details={"size": total, "limit": limit},
        )


def _send(nodes: Sequence[Node], cache: StatCache, sink: BlobSink, meter: Meter) -> dict[bytes, str]:
    digests: dict[bytes, str] = {}
    refused: list[bytes] = []
    meter.expect(sum(node.fingerprint.size for node in nodes))
    with SmallFiles(sink, meter) as small:
        for node in nodes:
            if known := cache.digest(node):
                digests[node.path] = known
                continue
            started = time.time_ns()
            try:
                digests[node.path] = _read(node, small)
            except SnapshotUnreadableError:
                refused.append(node.path)
                continue
            cache.learn(node, digests[node.path], started)
    if refused:
        raise unreadable_error(refused)
    files = {digests[node.path]: node for node in nodes}
    others = [digest for digest in files if digest not in small.there]
    for at in range(0, len(others), _ASKED):
        missing = sink.missing(others[at : at + _ASKED])
        send_files(b"/", {digest: files[digest] for digest in missing}, sink)
    return digests


def _read(node: Node, small: SmallFiles) -> str:
    if node.fingerprint.size > SMALL:
        return hash_file(b"/", node)
    data = b"".join(read_chunks(b"/", node))
    digest = digest_of(data)
    small.add(digest, data)
    return digest
