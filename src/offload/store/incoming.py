"""How blobs get in: whole and proved, or not at all.

Bytes go into a temporary file while their digest is computed; once it is the one that names the blob, the
file is renamed. Nearly every blob is small, comes in one piece and is proved before anything is written. A
pack is taken in pieces cut anywhere; the chunks of one pack must come one after another.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from offload.errors import disk_full
from offload.model.blobs import Codec
from offload.store.packed import write_all
from offload.wire.encoding import Decoder
from offload.wire.packs import PackReader, Piece

if TYPE_CHECKING:
    from offload.store.blobs import BlobFiles

_SMALL: Final = 1 << 18
"""Bytes up to which a blob shares a file with others."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def demand_space() -> AbstractContextManager[None]:
    """Around writing blobs: raises ``DiskFullError`` when the disk is full."""
    return disk_full(
        "The launcher has no space left for files.",
        "Free space on the disk of the launcher, then run the same command again.",
    )


class Incoming:
    """One blob on its way in: a temporary file that becomes the blob once its digest is proved."""

    def __init__(self, files: BlobFiles, digest: str, codec: Codec) -> None:
        self._files = files
        self._final = files.path(digest, codec)
        self._path = files.temporary()
        self._digest = digest
        self._decoder = Decoder(digest, codec)
        self._descriptor = os.open(self._path, _NEW, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes | memoryview) -> None:
        """Take the next encoded bytes."""
        self._decoder.drain(data)
        write_all(self._descriptor, data)

    def finish(self) -> None:
        """Prove the digest and make the blob visible.

        Raises:
            BlobCorruptError: the bytes aren't those that the digest names; nothing becomes visible.
        """
        self._decoder.finish()
        os.close(self._descriptor)
        self._descriptor = -1
        _publish(self._path, self._final)
        self._path = ""
        self._files.heal(self._digest)

    def close(self) -> None:
        """Forget a blob that wasn't finished."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path:
            os.unlink(self._path)
            self._path = ""


def _prove(piece: Piece) -> None:
    """Raises ``BlobCorruptError`` when a whole blob isn't what its digest names."""
    decoder = Decoder(piece.digest, piece.codec)
    decoder.drain(piece.data)
    decoder.finish()


def _publish(path: str, final: str) -> None:
    try:
        os.replace(path, final)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(final), mode=0o700, exist_ok=True)
        os.replace(path, final)


class PackReceiver:
    """Takes the bytes of a pack in pieces cut anywhere, and stores the blobs that are whole.

    What came before an error stays, so a sender that starts again sends only the rest. Small blobs are
    visible once the pack has ended, in whatever way.
    """

    def __init__(self, files: BlobFiles) -> None:
        self._files = files
        self._reader = PackReader()
        self._incoming: Incoming | None = None
        self._small: list[Piece] = []
        self._writer = files.write_small()
        self._closed = False
        # A request that is given up leaves here while a thread may still be feeding.
        self._taking = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._taking:
            self._closed = True
            if self._incoming:
                self._incoming.close()
                self._incoming = None
            with self._writer, contextlib.suppress(OSError):  # the first error is the one to tell
                self._writer.publish()

    def feed(self, *chunks: bytes) -> None:
        """Take the next bytes. About 1 MiB is worth the way into a thread; a packet isn't.

        Raises:
            ProtocolError: this is no pack.
            BlobCorruptError: a blob's bytes aren't those that its digest names.
            DiskFullError: there is no space left.
        """
        with self._taking, demand_space():
            if self._closed:
                return
            try:
                # A piece that is cut by a packet is copied to be whole again; of one megabyte few are.
                for piece in self._reader.feed(b"".join(chunks)):
                    self._take(piece)
            finally:
                self._writer.add(self._small)
                self._small = []

    def close(self) -> None:
        """Say that nothing more comes.

        Raises:
            ProtocolError: the last blob is incomplete.
            DiskFullError: there is no space left.
        """
        self._reader.close()
        with demand_space():
            self._writer.publish()

    def _take(self, piece: Piece) -> None:
        if piece.last and self._incoming is None and len(piece.data) <= _SMALL:
            _prove(piece)
            self._files.heal(piece.digest)
            self._small.append(piece)
            return
        incoming = self._incoming or Incoming(self._files, piece.digest, piece.codec)
        self._incoming = incoming
        incoming.write(piece.data)
        if piece.last:
            incoming.finish()
            incoming.close()
            self._incoming = None
