"""What an attempt made: new and changed files, links, directories and modes in its copy of the snapshot.

A file that is gone is no result; nothing is ever deleted at home. What the built-in list leaves out
(:mod:`~offload.snapshot.ignore`) doesn't come home either, unless the snapshot sent it: nobody wants a
package library or a cache back that a script installed. ``.offloadignore`` says what is sent and has no say
here, because results are often named in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import FileChangedError, SnapshotUnreadableError
from offload.model.blobs import BlobSink
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.snapshot.reading import FileChanged, hash_file
from offload.snapshot.sending import send_files
from offload.snapshot.take import entry_of
from offload.snapshot.walk import Node, walk_results
from offload.snapshot.working_copy import Pristine

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Results:
    """What an attempt made; ``notices`` are sentences about what can't be brought home."""

    manifest: Manifest
    nodes: tuple[Node, ...]
    notices: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The manifest's name."""
        return digest_of(self.manifest.encode())


def changed_since(root: Path, snapshot: Manifest, pristine: Pristine) -> Results:
    """What in the directory ``root``, a copy of ``snapshot``, is new or changed.

    Files with a fingerprint in ``pristine``, which
    :meth:`offload.snapshot.working_copy.WorkingCopy.fill` gave, aren't read.

    Raises:
        FileChangedError: something still writes there.
    """
    before = {entry.path: entry for entry in snapshot.entries}
    real = os.path.realpath(os.fsencode(root))
    changed = b""
    for _ in range(_TRIES):
        try:
            return _changed(real, before, pristine)
        except FileChanged as change:
            changed = change.path
    raise _restless(changed)


def _changed(root: bytes, before: dict[bytes, Entry], pristine: Pristine) -> Results:
    tree = walk_results(root, before)
    made: list[tuple[Entry, Node]] = []
    notices = list(tree.notices)
    notices += [f"{os.fsdecode(path)} can't be read and stays behind." for path in tree.unreadable]
    for node in tree.nodes:
        was = before.get(node.path)
        try:
            entry = _entry(root, node, was, pristine)
        except SnapshotUnreadableError:
            notices.append(f"{os.fsdecode(node.path)} can't be read and stays behind.")
            continue
        if entry != was:
            made.append((entry, node))
    return Results(
        Manifest(tuple(entry for entry, _ in made)), tuple(node for _, node in made), tuple(notices)
    )


def _entry(root: bytes, node: Node, was: Entry | None, pristine: Pristine) -> Entry:
    if node.kind is not Kind.FILE:
        return entry_of(node, "")
    if was and was.kind is Kind.FILE and pristine.get(node.path) == node.fingerprint:
        return entry_of(node, was.digest)
    return entry_of(node, hash_file(root, node))


def send_results(root: Path, results: Results, sink: BlobSink) -> int:
    """Bring the launcher what it lacks of results, and their manifest; says how many bytes travelled.

    Raises:
        FileChangedError: something still writes there; look for changes again.
        BlobMissingError: the launcher let go of something meanwhile; calling again sends it.
    """
    real = os.path.realpath(os.fsencode(root))
    pairs = zip(results.manifest.entries, results.nodes, strict=True)
    files = {entry.digest: node for entry, node in pairs if entry.digest}
    missing = sink.missing(list(files))
    try:
        sent = send_files(real, {name: node for name, node in files.items() if name in missing}, sink)
    except FileChanged as change:
        raise _restless(change.path) from change
    data = results.manifest.encode()
    return sent + sink.put_manifest(digest_of(data), data)


def _restless(path: bytes) -> FileChangedError:
    return FileChangedError(
        f"{os.fsdecode(path)} kept changing after the task had ended.",
        next_step="See that the script waits for what it starts in the background.",
        details={"path": os.fsdecode(path)},
    )
