"""From blobs to a directory.

A snapshot is checked out once, into a directory that nobody changes (pristine); every attempt starts in a
copy of that, so that nothing of one task shows in another (:mod:`~offload.snapshot.working_copy`).
Directories get their modes last, so that one without write permission can be filled. Nothing is ever written
through a link: the target is new, and in a manifest nothing lies below a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, PlaybackError, disk_full
from offload.model.blobs import Blob, BlobSource
from offload.model.manifest import Entry, Kind, Manifest, parents
from offload.snapshot.writing import copy_file, write_file
from offload.wire.encoding import corrupt, decoded

OWNER_MAY_ALL: Final = 0o700
FULL: Final = "There is no space left for the job's files in {}."
FREE: Final = "Free space there, or ask for the job to run elsewhere."


def check_out(manifest: Manifest, source: BlobSource, target: Path) -> None:
    """Write down what a manifest names; ``target`` is a new or an empty directory.

    Raises:
        PlaybackError: ``target`` isn't empty.
        BlobMissingError: the source lacks a file's content.
        BlobCorruptError: content isn't what its digest names, or hasn't the size that the manifest gives.
        DiskFullError: there is no space left.
    """
    root = os.fsencode(target)
    with disk_full(FULL.format(target), FREE):
        make_empty(root)
        for path in _directories(manifest):
            os.mkdir(os.path.join(root, path), OWNER_MAY_ALL)
        _write_files(manifest, source, root)
        for entry in manifest.entries:
            if entry.kind is Kind.LINK:
                os.symlink(entry.target, os.path.join(root, entry.path))
        for entry in reversed(manifest.entries):
            if entry.kind is Kind.DIRECTORY:
                os.chmod(os.path.join(root, entry.path), entry.mode)


def make_empty(root: bytes, mode: int = 0o777) -> None:
    """Make a directory, or see that nothing is in it; raises ``PlaybackError`` when there is something."""
    os.makedirs(root, mode, exist_ok=True)
    if os.listdir(root):
        raise PlaybackError(f"{os.fsdecode(root)} isn't empty.", next_step="Name a new directory.")


def _directories(manifest: Manifest) -> list[bytes]:
    """Every directory that is listed or stands above what is listed, the outer ones first."""
    found: dict[bytes, None] = {}
    for entry in manifest.entries:
        found.update(dict.fromkeys(parents(entry.path)))
        if entry.kind is Kind.DIRECTORY:
            found[entry.path] = None
    return list(found)


def _write_files(manifest: Manifest, source: BlobSource, root: bytes) -> None:
    waiting: dict[str, list[Entry]] = {}
    for entry in manifest.entries:
        if entry.kind is Kind.FILE:
            waiting.setdefault(entry.digest, []).append(entry)
    if not waiting:
        return
    for blob in source.fetch(list(waiting)):
        first, *others = waiting.pop(blob.digest)
        path = os.path.join(root, first.path)
        write_file(path, sized(blob, first.size), OWNER_MAY_ALL)
        for entry in others:
            copy_file(path, os.path.join(root, entry.path))
        for entry in (first, *others):
            os.chmod(os.path.join(root, entry.path), entry.mode)
    if waiting:
        raise BlobMissingError(
            f"The content of {len(waiting)} files didn't come.", details={"digests": list(waiting)}
        )


def sized(blob: Blob, size: int) -> Iterator[bytes]:
    """The decoded bytes of a blob that must be ``size`` long; raises ``BlobCorruptError`` when it isn't."""
    for chunk in decoded(blob):
        size -= len(chunk)
        if size < 0:
            raise corrupt(blob.digest)
        yield chunk
    if size:
        raise corrupt(blob.digest)
