"""The launcher's blobs, by the SHA-256 of what they hold.

Small ones share files, see :mod:`~offload.store.packed`. A large one is a file, ``ab/<62 hex digits>.zst`` or
``.raw``, as it was received. It is written beside the shards, checked against its digest and renamed, so
whoever sees a name sees all of its bytes; after a crash a leftover is only a temporary file. Nothing is
synced to disk: a machine that loses power may leave a blob with the wrong bytes, and every read proves the
digest, so such a blob is moved aside, counts as missing, and heals when it is sent again.

A file's modification time, or the index of the small ones, says to the minute when a blob was last wanted.
Asking for a blob renews it, and :meth:`BlobFiles.delete` leaves alone what was wanted since, so garbage
collection never takes what a submission under way relies on. Everything here may be called from any thread.
How blobs get in is :mod:`~offload.store.incoming`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import BlobCorruptError, BlobMissingError, OffloadError, ProtocolError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import is_digest
from offload.store.incoming import Incoming, PackReceiver, demand_space
from offload.store.pack_index import Packed
from offload.store.packed import Packs, PackWriter
from offload.wire.encoding import CHUNK, Decoder, decoded, encode_bytes

_SUFFIX: Final = {Codec.RAW: ".raw", Codec.ZSTD: ".zst"}
_CODEC: Final = {suffix: codec for codec, suffix in _SUFFIX.items()}
_LATE: Final = 60.0
"""Seconds by which that time may lag behind the last wish, so that most wishes cost no write."""
_LEFTOVER_AGE: Final = 3600.0
"""Seconds after which a temporary file that nobody writes to belongs to a process that crashed."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What is stored under a digest: encoded ``size`` in bytes, and when it was last wanted."""

    digest: str
    size: int
    wanted: float


class BlobFiles:
    """The blobs below a directory, which is made if it isn't there."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._temporary = os.path.join(self._directory, "tmp")
        self._aside = os.path.join(self._directory, "corrupt")
        self._numbers = itertools.count()
        self._deleting = threading.Lock()
        with demand_space():
            for path in (self._temporary, self._aside, f"{directory}/packs"):
                os.makedirs(path, mode=0o700, exist_ok=True)
            self._packs = Packs(directory / "packs")
        self._damaged = set(os.listdir(self._aside))
        self._remove_leftovers()

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Which of these aren't there; those that are there are wanted from now on."""
        with self._deleting:
            names = set(map(checked, digests))
            packed = self._packs.index.known(names)
            self._renew(packed)
            return {digest for digest in names - packed.keys() if self._touch_file(digest) is None}

    def write_small(self) -> PackWriter:
        """Where small blobs go that are whole and proved."""
        return PackWriter(self._packs, self.temporary())

    def tidy(self) -> None:
        """Give back the space of small blobs that were deleted.

        Raises:
            DiskFullError: there is no space left to do so.
        """
        with demand_space():
            self._packs.tidy(self.temporary())

    def close(self) -> None:
        """Let go of what is open."""
        self._packs.index.close()

    def has(self, digest: str) -> bool:
        """Whether the blob is there; it is wanted from now on."""
        return not self.missing([digest])

    def receive(self) -> PackReceiver:
        """Where the bytes of a pack go."""
        return PackReceiver(self)

    def put(self, blobs: Iterable[Blob]) -> None:
        """Store blobs.

        Raises:
            BlobCorruptError: bytes aren't what their digest names.
            DiskFullError: there is no space left.
        """
        for blob in blobs:
            with demand_space(), Incoming(self, blob.digest, blob.codec) as incoming:
                for chunk in blob.chunks:
                    incoming.write(chunk)
                incoming.finish()

    def fetch(self, digests: Sequence[str]) -> Iterator[Blob]:
        """The blobs; each is proved while it is read, and its last bytes are held back until it is.

        Raises:
            BlobMissingError: some aren't there; at once, before the first blob.
            BlobCorruptError: one is damaged; while it is read, and it is moved aside.
        """
        if missing := self.missing(digests):
            raise self._gone(sorted(missing))
        return map(self.open, digests)

    def open(self, digest: str) -> Blob:
        """One blob, as :meth:`fetch` gives it."""
        if packed := self._packs.index.find(checked(digest)):
            self._renew({digest: packed.wanted})
        codec = packed.codec if packed else self._touch_file(digest)
        if codec is None:
            raise self._gone([digest])
        return Blob(digest, codec, self._proved(digest, codec, packed))

    def put_bytes(self, digest: str, data: bytes) -> None:
        """Store bytes in memory; raises as :meth:`put`."""
        self.put([encode_bytes(digest, data)])

    def get_bytes(self, digest: str) -> bytes:
        """All bytes of a blob, decoded; raises as :meth:`fetch`."""
        return b"".join(decoded(self.open(digest)))

    def delete(self, digest: str, *, unwanted_since: float) -> bool:
        """Remove a blob unless it was wanted after ``unwanted_since`` (seconds); says whether it did."""
        with self._deleting:
            removed = self._packs.index.delete(digest, unwanted_since=unwanted_since - _LATE)
            for codec in _SUFFIX:
                path = self.path(digest, codec)
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(path).st_mtime + _LATE <= unwanted_since:
                        os.unlink(path)
                        removed = True
            return removed

    def __iter__(self) -> Iterator[StoredBlob]:
        """Every blob, in no order; those that come or go meanwhile may or may not be among them."""
        for packed in self._packs.index:
            yield StoredBlob(packed.digest, packed.size, packed.wanted + _LATE)
        for shard in _entries(self._directory):
            if len(shard.name) == 2:  # noqa: PLR2004  two hex digits
                yield from _stored(shard)

    def _renew(self, wanted: Mapping[str, float]) -> None:
        """Small blobs are wanted now; ``wanted`` says when they last were."""
        now = time.time()
        if late := [digest for digest, then in wanted.items() if then < now - _LATE]:
            self._packs.index.want(late, now)

    def _touch_file(self, digest: str) -> Codec | None:
        stem, late = self._stem(digest), time.time() - _LATE
        for codec, suffix in _SUFFIX.items():
            path = stem + suffix
            try:
                if os.stat(path).st_mtime < late:
                    os.utime(path)
            except FileNotFoundError:
                continue
            return codec
        return None

    def path(self, digest: str, codec: Codec) -> str:
        """Where a blob is when it is encoded like this.

        Raises:
            ProtocolError: this is not the name of a blob.
        """
        return self._stem(digest) + _SUFFIX[codec]

    def _stem(self, digest: str) -> str:
        return f"{self._directory}/{checked(digest)[7:9]}/{digest[9:]}"

    def heal(self, digest: str) -> None:
        """Forget that the blob was damaged, because it has come again."""
        if digest[7:] in self._damaged:
            self._damaged.discard(digest[7:])
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._aside}/{digest[7:]}")

    def temporary(self) -> str:
        """A path for the bytes of a blob that isn't whole yet."""
        return f"{self._temporary}/{os.getpid()}-{next(self._numbers)}"

    def _gone(self, digests: Sequence[str]) -> OffloadError:
        damaged = [digest for digest in digests if digest[7:] in self._damaged]
        if damaged:
            return BlobCorruptError(
                f"{len(damaged)} stored files were damaged on the launcher's disk and can't be read.",
                next_step="Submit the job again: what is damaged is sent again.",
                details={"digests": damaged},
            )
        return BlobMissingError(
            f"{len(digests)} stored files are not with the launcher.", details={"digests": list(digests)}
        )

    def _proved(self, digest: str, codec: Codec, packed: Packed | None) -> Iterator[bytes]:
        decoder = Decoder(digest, codec)
        held, stored = b"", None
        try:
            stored = self._packs.read(packed) if packed else None
            for chunk in _read(self.path(digest, codec)) if stored is None else (stored,):
                if held:
                    yield held
                decoder.drain(chunk)
                held = chunk
            decoder.finish()
        except FileNotFoundError as error:
            raise self._gone([digest]) from error
        except BlobCorruptError:
            self._set_aside(digest, codec, stored)
            raise
        yield held

    def _set_aside(self, digest: str, codec: Codec, packed: bytes | None) -> None:
        """Keep damaged bytes for whoever looks for the cause; the blob counts as missing."""
        aside = f"{self._aside}/{digest[7:]}"
        with contextlib.suppress(FileNotFoundError):
            if packed is None:
                os.replace(self.path(digest, codec), aside)
            else:
                self._packs.index.drop(digest)
                Path(aside).write_bytes(packed)
            self._damaged.add(digest[7:])

    def _remove_leftovers(self) -> None:
        for entry in _entries(self._temporary):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < time.time() - _LEFTOVER_AGE:
                    os.unlink(entry.path)


def checked(digest: str) -> str:
    """The same; raises ``ProtocolError`` when it is not the name of a blob."""
    if not is_digest(digest):
        raise ProtocolError(f"{digest[:100]!r} is not the name of a blob.")
    return digest


def _read(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        yield from entries


def _stored(shard: os.DirEntry[str]) -> Iterator[StoredBlob]:
    for entry in _entries(shard.path):
        digest = f"sha256:{shard.name}{entry.name[:-4]}"
        with contextlib.suppress(FileNotFoundError):
            if entry.name[-4:] in _CODEC and is_digest(digest):
                status = entry.stat()
                yield StoredBlob(digest, status.st_size, status.st_mtime + _LATE)
