"""Packs: many blobs in one request, however small or large they are.

A pack is a row of pieces. A piece is a 38-byte header and its bytes. Header, little-endian: the raw SHA-256
that names the blob (32 bytes), codec (u8, see :class:`~offload.model.blobs.Codec`), last (u8, 1 when the blob
ends with this piece), length (u32, at most 1 MiB). The pieces of a blob follow one another. So 5,000 small
files are a few large sends, a file of many gigabytes needs no more memory than a small one, and nobody needs
to know how long compressed bytes will become before they are sent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from offload.errors import ProtocolError
from offload.model.blobs import Blob, Codec
from offload.wire.chunked import Parts

_HEADER: Final = struct.Struct("<32sBBI")
HEADER_SIZE: Final = _HEADER.size
MAX_PIECE: Final = 1 << 20
"""Bytes of one piece, at most; what a receiver must be able to hold."""
_CODECS: Final = frozenset(Codec)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a blob; ``last`` when the blob ends with it."""

    digest: str
    codec: Codec
    data: bytes | memoryview
    last: bool


def encode_pack(blobs: Iterable[Blob]) -> Iterator[bytes]:
    """The bytes of a pack, in chunks of about 1 MiB; when a blob fails, what is before it still comes out."""
    return map(b"".join, pack_parts(blobs))


def pack_parts(blobs: Iterable[Blob]) -> Iterator[Parts]:
    """The chunks of :func:`encode_pack`, not joined: the pieces' bytes stay where they are."""
    parts: Parts = []
    size = 0
    try:
        for piece in _pieces(blobs):
            parts += (piece_head(piece), piece.data)
            size += _HEADER.size + len(piece.data)
            if size >= MAX_PIECE:
                yield parts
                parts, size = [], 0
    except Exception:
        if parts:
            yield parts
        raise
    if parts:
        yield parts


def piece_head(piece: Piece) -> bytes:
    """The header of a piece."""
    return _HEADER.pack(bytes.fromhex(piece.digest[7:]), piece.codec, piece.last, len(piece.data))


def _pieces(blobs: Iterable[Blob]) -> Iterator[Piece]:
    for blob in blobs:
        held = b""
        for data in _cut(blob.chunks):
            if held:
                yield Piece(blob.digest, blob.codec, held, last=False)
            held = data
        yield Piece(blob.digest, blob.codec, held, last=True)


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), MAX_PIECE):
            yield chunk[at : at + MAX_PIECE] if len(chunk) > MAX_PIECE else chunk


class PackReader:
    """Takes the bytes of a pack as they come, cut anywhere, and holds one piece at most."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._open = ""

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces that are complete with this chunk; their data refers to it.

        Raises:
            ProtocolError: this is no pack.
        """
        pieces: list[Piece] = []
        view = memoryview(chunk)
        while self._begun and view:
            lacking = self._length(self._begun) - len(self._begun)
            self._begun += view[:lacking]
            view = view[lacking:]
            if len(self._begun) == self._length(self._begun):
                pieces.append(self._piece(memoryview(bytes(self._begun)), 0, len(self._begun)))
                self._begun.clear()
        at, end = 0, len(view)
        while end - at >= _HEADER.size and (stop := at + self._length(view, at)) <= end:
            pieces.append(self._piece(view, at, stop))
            at = stop
        self._begun += view[at:]
        return pieces

    def close(self) -> None:
        """Say that nothing more comes.

        Raises:
            ProtocolError: a blob is incomplete.
        """
        if self._begun or self._open:
            raise ProtocolError("The pack ends in the middle of a blob.")

    @staticmethod
    def _length(start: bytearray | memoryview, at: int = 0) -> int:
        """Bytes of the header and, once that is whole, of the piece that starts here."""
        if len(start) - at < _HEADER.size:
            return _HEADER.size
        _, codec, last, length = _HEADER.unpack_from(start, at)
        if codec not in _CODECS or last not in (0, 1) or length > MAX_PIECE:
            raise ProtocolError("This is not a pack of blobs.")
        return _HEADER.size + int(length)

    def _piece(self, view: memoryview, at: int, stop: int) -> Piece:
        raw, codec, last, _ = _HEADER.unpack_from(view, at)
        digest = "sha256:" + raw.hex()
        if self._open not in ("", digest):
            raise ProtocolError("The pack starts a blob in the middle of another.")
        self._open = "" if last else digest
        return Piece(digest, Codec(codec), view[at + _HEADER.size : stop], last=bool(last))


def decode_pack(chunks: Iterable[bytes]) -> Iterator[Blob]:
    """The blobs of a pack; read each before the next.

    Raises:
        ProtocolError: this is no pack, or it is cut short.
    """
    pieces = _stream(chunks)
    for first in pieces:
        if first.last:
            yield Blob(first.digest, first.codec, (bytes(first.data),))
            continue
        rest = _until_last(first, pieces)
        yield Blob(first.digest, first.codec, rest)
        for _ in rest:
            pass


def _stream(chunks: Iterable[bytes]) -> Iterator[Piece]:
    reader = PackReader()
    for chunk in chunks:
        yield from reader.feed(chunk)
    reader.close()


def _until_last(first: Piece, pieces: Iterator[Piece]) -> Iterator[bytes]:
    yield bytes(first.data)
    for piece in pieces:
        yield bytes(piece.data)
        if piece.last:
            return
