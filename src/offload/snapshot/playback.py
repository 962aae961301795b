"""Playing results back into the directory that they belong to, without losing anything that is there.

A home file is replaced only if it is still what the snapshot sent. Whatever else is in a result's way (an
edited file, a file where a directory should be, a link) stays, and the result lands beside it under a name
that says so: ``table.csv`` as ``table.from-k7m2q9x.csv``. Each file is written under a temporary name and
renamed, so a play back that ends half-way leaves whole files only, and the next one finds those as they
should be and goes on. Two at once wait for each other. Nothing is written through a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from offload.errors import DiskFullError, OffloadError, PlaybackError, is_disk_full
from offload.model.blobs import BlobSource
from offload.model.file_names import shown
from offload.model.manifest import Manifest
from offload.model.resources import format_size
from offload.snapshot.home import Home
from offload.snapshot.playing import Playing
from offload.snapshot.report import PlaybackReport

__all__ = ["PlaybackReport", "play_back"]

_NAMED: Final = 5


def play_back(
    results: Manifest, snapshot: Manifest, source: BlobSource, target: Path, *, label: str, lock_dir: Path
) -> PlaybackReport:
    """Bring ``results`` into ``target``, which is made if it isn't there.

    Args:
        results: what the task made, as :func:`offload.snapshot.diff.changed_since` found it.
        snapshot: what the task started from; an empty manifest for a directory that was never sent.
        source: gives the content.
        target: the working directory, or any other.
        label: the job's id, for the names of results that land beside.
        lock_dir: where play backs of this machine wait for each other.

    Raises:
        DiskFullError: there is no space left; says what is missing. What came until then is whole.
        PlaybackError: the directory can't be written, or something below it; the other results are there.
        BlobMissingError: the source lacks a result's content.
        BlobCorruptError: content isn't what its digest names.
    """
    playing = None
    try:
        os.makedirs(target, exist_ok=True)
        home = Home(os.path.realpath(os.fsencode(target)))
        with _alone(home.root, lock_dir):
            playing = Playing(results, snapshot, home, label)
            for entry in results.entries:
                playing.plan(entry)
            playing.write(source)
    except OSError as error:
        raise _explained(error, target, playing, label) from error
    if playing.refused:
        raise _incomplete(playing.refused, len(results.entries), target, label)
    return playing.report


@contextlib.contextmanager
def _alone(root: bytes, lock_dir: Path) -> Iterator[None]:
    # Not in the directory: that may be on a network file system without locks.
    os.makedirs(lock_dir, mode=0o700, exist_ok=True)
    name = f"playback-{hashlib.sha256(root).hexdigest()[:16]}.lock"
    descriptor = os.open(lock_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _explained(error: OSError, target: Path, playing: Playing | None, label: str) -> OffloadError:
    if not is_disk_full(error):
        return PlaybackError(
            f"Results can't be written to {_where(error, target)}: {error.strerror}.",
            next_step=f"Bring them elsewhere: offload collect {label} --to DIR",
        )
    missing = playing.missing() if playing else []
    names = [os.fsdecode(entry.path) for entry in missing]
    size = format_size(sum(entry.size for entry in missing))
    return DiskFullError(
        f"There is no space left in {target}; {len(names)} results ({size}) are missing: {_some(names)}.",
        next_step=f"Nothing is lost: free space, then run offload collect {label}",
        details={"missing": names},
    )


def _incomplete(refused: Mapping[bytes, str], results: int, target: Path, label: str) -> PlaybackError:
    names = [f"{os.fsdecode(path)} ({reason})" for path, reason in sorted(refused.items())]
    return PlaybackError(
        f"{len(names)} of {results} results can't be written in {target}: {_some(names)}.",
        next_step=f"Nothing is lost: let them be written, then run offload collect {label}\n"
        f"Or bring all of them elsewhere: offload collect {label} --to DIR",
        details={"missing": [os.fsdecode(path) for path in sorted(refused)]},
    )


def _where(error: OSError, target: Path) -> str:
    return shown(error.filename or str(target))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
