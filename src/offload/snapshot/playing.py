"""One play back under way: where each result goes, and bringing it there.

Planning looks at what is at home, makes directories and links, and decides about each file; writing brings
the content. Nothing is believed for long: just before a file gets its name, what is there is looked at again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from offload.errors import BlobMissingError, is_disk_full
from offload.model.blobs import Blob, BlobSource
from offload.model.manifest import MODE_BITS, Entry, Kind, Manifest
from offload.snapshot.checkout import sized
from offload.snapshot.fingerprint import Fingerprint, fingerprint_of
from offload.snapshot.home import Home, beside_names
from offload.snapshot.own import unfinished_name
from offload.snapshot.report import PlaybackReport
from offload.snapshot.writing import copy_file, rename_new, write_file

_NEW_DIRECTORY: Final = 0o755


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


class Playing:
    """One play back. Planning makes directories and links; writing brings the files.

    Attributes:
        report: what came home.
        refused: results that can't be where they belong, and the system's word why.
    """

    def __init__(self, results: Manifest, snapshot: Manifest, home: Home, label: str) -> None:
        self.report = PlaybackReport()
        self._waiting: dict[str, list[_Write]] = {}
        self._before = {entry.path: entry for entry in snapshot.entries}
        self._home = home
        self._label = label
        self._places: dict[bytes, bytes] = {b"": b""}
        self._made: set[bytes] = set()
        both = (*snapshot.entries, *results.entries)
        self._wanted = {entry.path: entry.mode for entry in both if entry.kind is Kind.DIRECTORY}
        self._modes: dict[bytes, int] = {}
        self.refused: dict[bytes, str] = {}

    def missing(self) -> list[Entry]:
        """Planned files that aren't written yet."""
        return [write.entry for writes in self._waiting.values() for write in writes]

    def plan(self, entry: Entry) -> None:
        """Decide where a result goes."""
        with self._unless_refused(entry.path):
            self._plan(entry)

    def _plan(self, entry: Entry) -> None:
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
        while self._waiting:
            self._bring(source)
        for place in sorted(self._modes, reverse=True):
            with self._unless_refused(place):
                os.chmod(self._home.path(place), self._modes[place])

    def _bring(self, source: BlobSource) -> None:
        """Write each content once; what is still waiting then has to be brought again."""
        lacking = set(self._waiting)
        for blob in source.fetch(list(self._waiting)):
            lacking.discard(blob.digest)
            if others := self._write_blob(blob, self._waiting[blob.digest]):
                self._waiting[blob.digest] = others
            else:
                del self._waiting[blob.digest]
        if lacking:
            raise BlobMissingError(
                f"The content of {len(lacking)} results didn't come.", details={"digests": sorted(lacking)}
            )

    @contextlib.contextmanager
    def _unless_refused(self, path: bytes) -> Iterator[None]:
        """Note what the system refuses, and go on with the other results; a full disk refuses them all."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise
            self.refused[path] = error.strerror or str(error)

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
        return before is not None and _content(before) == _content(entry)

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
            self._waiting.setdefault(write.entry.digest, []).append(write)
            return
        temporary = self._temporary(write.place)
        os.symlink(write.entry.target, temporary)
        self._finish(write, temporary)

    def _write_blob(self, blob: Blob, writes: list[_Write]) -> list[_Write]:
        """Write a content to all its places; gives those that weren't tried, as the first was refused."""
        first, *others = writes
        temporary = self._temporary(first.place)
        with self._unless_refused(first.entry.path):
            write_file(temporary, sized(blob, first.entry.size), stat.S_IRUSR | stat.S_IWUSR)
        if first.entry.path in self.refused:
            return others
        try:
            for other in others:
                with self._unless_refused(other.entry.path):
                    self._copy(temporary, other)
            with self._unless_refused(first.entry.path):
                os.chmod(temporary, first.entry.mode)
                self._finish(first, temporary)
        finally:
            _remove(temporary)
        return []

    def _copy(self, source: bytes, write: _Write) -> None:
        temporary = self._temporary(write.place)
        copy_file(source, temporary)
        try:
            os.chmod(temporary, write.entry.mode)
            self._finish(write, temporary)
        except BaseException:
            _remove(temporary)
            raise

    def _temporary(self, place: bytes) -> bytes:
        """A free name in the same directory; always the same, so that what a crash left is removed."""
        path = os.path.join(os.path.dirname(self._home.path(place)), unfinished_name(place, self._label))
        _remove(path)
        return path

    def _finish(self, write: _Write, temporary: bytes) -> None:
        """Give a temporary file its name; if somebody was quicker there, it lands beside."""
        if write.replaces is None:
            names = itertools.chain([write.place], beside_names(write.wanted, self._label))
            place = next(name for name in names if rename_new(temporary, self._home.path(name)))
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


def _remove(temporary: bytes) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def _content(entry: Entry) -> tuple[Kind, str, bytes]:
    return entry.kind, entry.digest, entry.target
