"""Playing results back into the directory that they belong to, without losing anything that is there.

A home file is replaced only if it is still what the snapshot sent. Whatever else is in a result's way (an
edited file, a file where a directory should be, a link) stays, and the result lands beside it under a name
that says so: ``table.csv`` as ``table.from-k7m2q9x.csv``. Each file is written under a temporary name and
renamed, so a play back that ends half-way leaves whole files only, and the next one finds those as they
should be and goes on. Two at once wait for each other. Nothing is written through a link.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, DiskFullError, OffloadError, PlaybackError, is_disk_full
from offload.model.blobs import Blob, BlobSource
from offload.model.manifest import MODE_BITS, Entry, Kind, Manifest
from offload.snapshot.checkout import sized
from offload.snapshot.fingerprint import Fingerprint, fingerprint_of
from offload.snapshot.guard import human_size
from offload.snapshot.home import Home, beside_names
from offload.snapshot.writing import copy_file, write_file

_NO_HARD_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_NAMED: Final = 5
_NEW_DIRECTORY: Final = 0o755


@dataclass(slots=True)
class PlaybackReport:
    """What came home; paths are relative to the target, as bytes.

    Attributes:
        new: weren't there before.
        changed: were as they had been sent, and are now as the task left them.
        same: were there already as the task left them.
        beside: stayed as they are at home, and where the result is instead.
    """

    new: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    same: list[bytes] = field(default_factory=list)
    beside: list[tuple[bytes, bytes]] = field(default_factory=list)


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
        PlaybackError: the directory can't be written.
        BlobMissingError: the source lacks a result's content.
        BlobCorruptError: content isn't what its digest names.
    """
    playing = None
    try:
        os.makedirs(target, exist_ok=True)
        home = Home(os.path.realpath(os.fsencode(target)))
        with _alone(home.root, lock_dir):
            playing = _Playing(results, snapshot, home, label)
            for entry in results.entries:
                playing.plan(entry)
            playing.write(source)
            return playing.report
    except OSError as error:
        raise _explained(error, target, playing, label) from error


@contextlib.contextmanager
def _alone(root: bytes, lock_dir: Path) -> Iterator[None]:
    # Beside the launcher's socket, not in the directory: that may be on a network file system without locks.
    os.makedirs(lock_dir, mode=0o700, exist_ok=True)
    name = f"playback-{hashlib.sha256(root).hexdigest()[:16]}.lock"
    descriptor = os.open(lock_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _explained(error: OSError, target: Path, playing: _Playing | None, label: str) -> OffloadError:
    if not is_disk_full(error):
        return PlaybackError(
            f"Results can't be written to {target}: {error.strerror}.",
            next_step=f"Bring them elsewhere: offload collect {label} --to DIR",
        )
    writes = [write for waiting in playing.waiting.values() for write in waiting] if playing else []
    names = [os.fsdecode(write.entry.path) for write in writes]
    size = human_size(sum(write.entry.size for write in writes))
    named = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return DiskFullError(
        f"There is no space left in {target}; {len(names)} results ({size}) are missing: {named}.",
        next_step=f"Nothing is lost: free space, then run offload collect {label}",
        details={"missing": names},
    )


@dataclass(frozen=True, slots=True)
class _Write:
    """One file or link to be written.

    ``wanted`` is where it belongs, ``place`` where it goes; ``replaces`` is what is there, None when
    nothing may be.
    """

    entry: Entry
    wanted: bytes
    place: bytes
    replaces: Fingerprint | None = None


class _Playing:
    """One play back. Planning makes directories and links; writing brings the files."""

    def __init__(self, results: Manifest, snapshot: Manifest, home: Home, label: str) -> None:
        self.report = PlaybackReport()
        self.waiting: dict[str, list[_Write]] = {}
        self._before = {entry.path: entry for entry in snapshot.entries}
        self._home = home
        self._label = label
        self._places: dict[bytes, bytes] = {b"": b""}
        self._made: set[bytes] = set()
        both = (*snapshot.entries, *results.entries)
        self._wanted = {entry.path: entry.mode for entry in both if entry.kind is Kind.DIRECTORY}
        self._modes: dict[bytes, int] = {}

    def plan(self, entry: Entry) -> None:
        """Decide where a result goes."""
        if entry.kind is Kind.DIRECTORY:
            self._plan_directory(entry)
            return
        above, _, name = entry.path.rpartition(b"/")
        place = os.path.join(self._directory(above), name)
        status = self._home.status(place)
        if status is None:
            self._add(_Write(entry, place, place))
        elif self._home.holds(place, status, entry):
            self._keep(entry, place, status)
        elif place == entry.path and self._is_as_sent(place, status):
            self._add(_Write(entry, place, place, fingerprint_of(status)))
        elif self._content_was_sent(entry):
            self.report.same.append(entry.path)  # only its mode changed, and home has moved on
        else:
            self._plan_beside(entry, place)

    def write(self, source: BlobSource) -> None:
        """Bring the content of the planned files, then set modes."""
        if self.waiting:
            for blob in source.fetch(list(self.waiting)):
                self._write_blob(blob, self.waiting[blob.digest])
                del self.waiting[blob.digest]
        if self.waiting:
            raise BlobMissingError(
                f"The content of {len(self.waiting)} results didn't come.",
                details={"digests": list(self.waiting)},
            )
        for place in sorted(self._modes, reverse=True):
            os.chmod(self._home.path(place), self._modes[place])

    def _plan_directory(self, entry: Entry) -> None:
        place = self._directory(entry.path)
        if place != entry.path:
            return  # told when it was made
        if place in self._made:
            self.report.new.append(place)
        else:
            self._keep(entry, place, os.lstat(self._home.path(place)))

    def _keep(self, entry: Entry, place: bytes, status: os.stat_result) -> None:
        """What is there already; only a mode that the task changed, and nobody else, is set."""
        self._temporary(place)
        before = self._before.get(entry.path)
        mode = status.st_mode & MODE_BITS
        if before and before.kind is entry.kind is not Kind.LINK and before.mode == mode != entry.mode:
            self._modes[place] = entry.mode
            self.report.changed.append(entry.path)
        else:
            self.report.same.append(entry.path)

    def _is_as_sent(self, place: bytes, status: os.stat_result) -> bool:
        """Whether a file or link at home is what the snapshot sent, so that a result may replace it."""
        return not stat.S_ISDIR(status.st_mode) and self._home.holds(place, status, self._before.get(place))

    def _content_was_sent(self, entry: Entry) -> bool:
        before = self._before.get(entry.path)
        return before is not None and replace(before, mode=entry.mode) == entry

    def _directory(self, path: bytes) -> bytes:
        """Where results of this directory go; it is there afterwards, and no link leads to it."""
        if path in self._places:
            return self._places[path]
        above, _, name = path.rpartition(b"/")
        place = os.path.join(self._directory(above), name)
        if not self._home.offers_directory(place):
            place = next(filter(self._home.offers_directory, beside_names(place, self._label)))
        if self._home.status(place) is None:
            self._make(path, place)
        self._places[path] = place
        return place

    def _make(self, path: bytes, place: bytes) -> None:
        mode = self._wanted.get(path, _NEW_DIRECTORY)
        os.mkdir(self._home.path(place), mode | stat.S_IRWXU)
        self._modes[place] = mode  # exact, and perhaps without write permission, once it is filled
        self._made.add(place)
        if place != path:
            self.report.beside.append((path, place))

    def _plan_beside(self, entry: Entry, place: bytes) -> None:
        for name in beside_names(place, self._label):
            status = self._home.status(name)
            if status is None:
                self._add(_Write(entry, place, name))
                return
            if self._home.holds(name, status, entry):
                self._temporary(name)
                self.report.same.append(entry.path)
                return

    def _add(self, write: _Write) -> None:
        if write.entry.kind is Kind.FILE:
            self.waiting.setdefault(write.entry.digest, []).append(write)
            return
        temporary = self._temporary(write.place)
        os.symlink(write.entry.target, temporary)
        self._finish(write, temporary)

    def _write_blob(self, blob: Blob, writes: list[_Write]) -> None:
        temporaries = [self._temporary(write.place) for write in writes]
        write_file(temporaries[0], sized(blob, writes[0].entry.size), stat.S_IRUSR | stat.S_IWUSR)
        for temporary in temporaries[1:]:
            copy_file(temporaries[0], temporary)
        for write, temporary in zip(writes, temporaries, strict=True):
            os.chmod(temporary, write.entry.mode)
            self._finish(write, temporary)

    def _temporary(self, place: bytes) -> bytes:
        """A free name in the same directory; always the same, so that what a crash left is removed."""
        name = f".offload-{self._label}-{hashlib.sha256(place).hexdigest()[:12]}"
        path = os.path.join(os.path.dirname(self._home.path(place)), name.encode())
        with contextlib.suppress(OSError):
            os.unlink(path)
        return path

    def _finish(self, write: _Write, temporary: bytes) -> None:
        """Give a temporary file its name; if somebody was quicker there, it lands beside."""
        if write.replaces is None:
            names = itertools.chain([write.place], beside_names(write.wanted, self._label))
            place = next(name for name in names if _rename_new(temporary, self._home.path(name)))
            if place == write.entry.path:
                self.report.new.append(place)
            else:
                self.report.beside.append((write.entry.path, place))
            return
        status = self._home.status(write.place)
        if status and fingerprint_of(status) == write.replaces:
            os.replace(temporary, self._home.path(write.place))
            self.report.changed.append(write.place)
            return
        self._finish(replace(write, replaces=None), temporary)


def _rename_new(temporary: bytes, path: bytes) -> bool:
    """Rename without replacing anything; False when something is there."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network file systems have no hard links, and Linux no portable other way.
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
        return True
    os.unlink(temporary)
    return True
