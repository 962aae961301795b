"""Small blobs, many to a file.

To make a file, rename it and some day remove it costs more than to write the few kilobytes of a script. So
what comes whole in one piece is appended to a *pack*, in the form in which it travels
(:mod:`~offload.wire.packs`), and an index says where each blob is. A pack gets its name when it is written to
the end, and then its blobs are indexed, all at once. Packs that the index doesn't know, after a crash or
because the index was lost, are read once at the start; so the index holds nothing that can't be made again,
but when each blob was last wanted.

A blob that is deleted leaves a hole. Once less than half of a pack is needed, that half moves to a new pack.
Everything here may be called from any thread, a writer from one at a time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from offload.errors import ProtocolError
from offload.store.pack_index import Packed, PackIndex, Place
from offload.wire.encoding import CHUNK
from offload.wire.packs import HEADER_SIZE, PackReader, Piece, piece_head

_SUFFIX: Final = ".pack"
_PARTS: Final = 1024
"""What ``writev`` takes."""
_LIMIT: Final = 1 << 26
"""Bytes after which a new pack is begun."""


class Packs:
    """The packs below a directory, which must be there.

    Attributes:
        index: where each blob is.

    Raises:
        OSError: the disk is full, or can't be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._lock = threading.Lock()
        self.index = PackIndex(f"{directory}/index.sqlite")
        names = [name for name in os.listdir(directory) if name.endswith(_SUFFIX)]
        there, known = {int(name.removesuffix(_SUFFIX)) for name in names}, self.index.packs()
        self._last = max(there | known, default=0)
        for number in known - there:
            self.index.forget(number)
        for number in sorted(there - known):
            path = self.path(number)
            self.index.learn(number, os.stat(path).st_size, _scanned(path), time.time())

    def path(self, number: int) -> str:
        """Where a pack is."""
        return f"{self._directory}/{number}{_SUFFIX}"

    def read(self, found: Packed) -> bytes:
        """A blob's bytes as they are stored, not proved.

        Raises:
            FileNotFoundError: it has been deleted since it was found, or its pack is gone.
        """
        while True:
            try:
                return _read(self.path(found.pack), found.at, found.size)
            except FileNotFoundError:
                again = self.index.find(found.digest)
                if again is None:
                    raise
                if again.pack == found.pack:
                    self.index.drop(found.digest)  # so that it is sent again
                    raise
                found = again  # it has just moved

    def add(self, written: str, size: int, blobs: Sequence[Place], *, instead_of: int | None = None) -> None:
        """Take over a written pack of so many bytes: give it its name, and index it.

        Args:
            written: where it is now.
            size: in bytes.
            blobs: what it holds.
            instead_of: the pack from which they moved; None when they are new.
        """
        with self._lock:
            self._last += 1
            number = self._last
        os.rename(written, self.path(number))
        try:
            if instead_of is None:
                self.index.learn(number, size, blobs, time.time())
            else:
                self.index.move(instead_of, number, size, blobs)
        except OSError:
            os.unlink(self.path(number))
            raise

    def tidy(self, temporary: str) -> None:
        """Remove packs of which less than half is needed; that half moves to a new one.

        ``temporary``: where that may be written.

        Raises:
            OSError: there is no space; packs of which nothing is needed are gone all the same.
        """
        for number, needed in self.index.sparse(HEADER_SIZE):
            if needed:
                self._move(number, temporary)
            self.index.forget(number)
            os.unlink(self.path(number))

    def _move(self, number: int, temporary: str) -> None:
        with PackWriter(self, temporary) as writer:
            for digest, at, size, codec in self.index.of_pack(number):
                writer.add([Piece(digest, codec, _read(self.path(number), at, size), last=True)])
            writer.publish(instead_of=number)


class PackWriter:
    """Writes a pack, or several when it becomes long. What isn't published at the end of the block is gone.

    Args:
        packs: where it will be.
        temporary: where it is until then.
    """

    def __init__(self, packs: Packs, temporary: str) -> None:
        self._packs = packs
        self._path = temporary
        self._descriptor = -1
        self._size = 0
        self._blobs: list[Place] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            os.unlink(self._path)

    def add(self, pieces: Iterable[Piece]) -> None:
        """Append whole blobs, each in one piece and proved.

        Raises:
            OSError: the disk is full; what was appended before stays.
        """
        parts: list[bytes | memoryview] = []
        blobs, at = [], self._size
        for piece in pieces:
            parts += (piece_head(piece), piece.data)
            at += HEADER_SIZE
            blobs.append((piece.digest, at, len(piece.data), piece.codec))
            at += len(piece.data)
        if blobs:
            self._append(parts)
            self._blobs += blobs
            self._size = at
        if at >= _LIMIT:
            self.publish()

    def _append(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write(self._descriptor, parts)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise

    def publish(self, *, instead_of: int | None = None) -> None:
        """Make visible what was written, ``instead_of`` the same in another pack.

        Raises:
            OSError: the disk is full; nothing is left of it.
        """
        if self._descriptor < 0:
            return
        blobs, size, self._blobs, self._size = self._blobs, self._size, [], 0
        os.close(self._descriptor)
        self._descriptor = -1
        try:
            self._packs.add(self._path, size, blobs, instead_of=instead_of)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def _scanned(path: str) -> Iterator[Place]:
    """What a pack holds; a torn end isn't part of it."""
    reader, at = PackReader(), 0
    with open(path, "rb", buffering=0) as file, contextlib.suppress(ProtocolError):
        while chunk := file.read(CHUNK):
            for piece in reader.feed(chunk):
                at += HEADER_SIZE
                yield piece.digest, at, len(piece.data), piece.codec
                at += len(piece.data)


def _read(path: str, at: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, at)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write to the last byte."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    for at in range(0, len(parts), _PARTS):
        some = parts[at : at + _PARTS]
        written = os.writev(descriptor, some)
        if written < sum(map(len, some)):  # a disk that becomes full says so with the next byte
            write_all(descriptor, memoryview(b"".join(some))[written:])
