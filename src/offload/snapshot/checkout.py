"""From blobs to a directory, and from one directory to many.

A snapshot is checked out once, into a directory that nobody changes (pristine); every attempt starts in its
own copy of that, so that nothing of one task shows in another. Directories get their modes last, so that
one without write permission can be filled. Nothing is ever written through a link: the target is new, and
in a manifest nothing lies below a link.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, PlaybackError, disk_full
from offload.model.blobs import Blob, BlobSource
from offload.model.manifest import Entry, Kind, Manifest, parents
from offload.snapshot.fingerprint import Fingerprint, fingerprint_of, settled
from offload.snapshot.writing import copy_file, write_file
from offload.wire.encoding import corrupt, decoded

Pristine = dict[bytes, Fingerprint]
"""Files of a copy that can't have changed if they still have this fingerprint, by path."""

_OWNER_MAY_ALL: Final = 0o700
_FULL: Final = "There is no space left for the job's files in {}."
_FREE: Final = "Free space there, or ask for the job to run elsewhere."


def check_out(manifest: Manifest, source: BlobSource, target: Path) -> None:
    """Write down what a manifest names; ``target`` is a new or an empty directory.

    Raises:
        PlaybackError: ``target`` isn't empty.
        BlobMissingError: the source lacks a file's content.
        BlobCorruptError: content isn't what its digest names, or hasn't the size that the manifest gives.
        DiskFullError: there is no space left.
    """
    root = os.fsencode(target)
    with disk_full(_FULL.format(target), _FREE):
        _make_empty(root)
        for path in _directories(manifest):
            os.mkdir(os.path.join(root, path), _OWNER_MAY_ALL)
        _write_files(manifest, source, root)
        for entry in manifest.entries:
            if entry.kind is Kind.LINK:
                os.symlink(entry.target, os.path.join(root, entry.path))
        for entry in reversed(manifest.entries):
            if entry.kind is Kind.DIRECTORY:
                os.chmod(os.path.join(root, entry.path), entry.mode)


def _make_empty(root: bytes) -> None:
    os.makedirs(root, exist_ok=True)
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
        write_file(path, sized(blob, first.size), _OWNER_MAY_ALL)
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


def copy_tree(pristine: Path, target: Path) -> Pristine:
    """Copy a directory that was checked out, with modes, links and modification times.

    ``target`` is a new or an empty directory.

    Gives the fingerprints of the copied files, for :func:`offload.snapshot.diff.changed_since`.

    Raises:
        DiskFullError: there is no space left.
    """
    copied: Pristine = {}
    modes: list[tuple[bytes, os.stat_result]] = []
    with disk_full(_FULL.format(target), _FREE):
        os.makedirs(target, _OWNER_MAY_ALL, exist_ok=True)
        _make_empty(os.fsencode(target))
        waiting = [b""]
        while waiting:
            directory = waiting.pop()
            waiting += _copy_directory(os.fsencode(pristine), os.fsencode(target), directory, copied, modes)
        for path, status in reversed(modes):
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.chmod(path, stat.S_IMODE(status.st_mode))
    # The next change may come within the same tick as the copy.
    now = time.time_ns()
    return {path: fingerprint for path, fingerprint in copied.items() if settled(fingerprint, now)}


def _copy_directory(
    pristine: bytes,
    root: bytes,
    directory: bytes,
    copied: Pristine,
    modes: list[tuple[bytes, os.stat_result]],
) -> list[bytes]:
    """Copy what lies directly in a directory, and give the directories in it."""
    below = []
    prefix = directory + b"/" if directory else b""
    with os.scandir(os.path.join(pristine, directory)) as entries:
        for entry in entries:
            path = prefix + entry.name
            target = os.path.join(root, path)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), target)
            elif entry.is_dir(follow_symlinks=False):
                os.mkdir(target, _OWNER_MAY_ALL)
                modes.append((target, entry.stat(follow_symlinks=False)))
                below.append(path)
            else:
                copied[path] = fingerprint_of(copy_file(entry.path, target))
    return below
