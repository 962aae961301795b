"""Raw or zstd, whichever pays; and back again, with the proof that the bytes are those that were named.

Between processes of one machine nothing is compressed: reading and writing memory is faster. Over a
network, level 1 keeps up with a fast link. Data that is compressed already is recognised by its first bytes
and sent as it is: compressing a picture costs time at both ends and gains nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from offload.errors import BlobCorruptError, ManifestInvalidError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import digest_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK: Final = 1 << 20
"""Bytes that are read, written and decompressed at a time."""
_LEVEL: Final = 1
_PROBE: Final = 4096
_TINY: Final = 256
"""Bytes below which a zstd frame can't win anything worth a call."""
_PAYS: Final = 0.9
_WINDOW_LOG: Final = 27
"""The largest window that every decompressor accepts without being told."""

MAX_MANIFEST: Final = 1 << 28
"""Bytes of a manifest, at most: some millions of files."""


def pays(start: bytes) -> bool:
    """Whether data that starts like this is worth compressing."""
    probe = start[:_PROBE]
    return len(probe) > _TINY and len(zstd.compress(probe, _LEVEL)) < _PAYS * len(probe)


def encode_bytes(digest: str, data: bytes) -> Blob:
    """The blob of bytes in memory, compressed if that pays."""
    if pays(data):
        return Blob(digest, Codec.ZSTD, (zstd.compress(data, _LEVEL),))
    return Blob(digest, Codec.RAW, (data,))


def compressed(blob: Blob) -> Blob:
    """The same blob for a slower link: compressed as it is read, if that pays and it isn't yet."""
    if blob.codec is not Codec.RAW:
        return blob
    chunks = iter(blob.chunks)
    start = next(chunks, b"")
    if pays(start):
        return Blob(blob.digest, Codec.ZSTD, _compressed(start, chunks))
    return Blob(blob.digest, Codec.RAW, _chained(start, chunks))


def _compressed(start: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zstd.ZstdCompressor(level=_LEVEL)
    for chunk in _chained(start, rest):
        if data := compressor.compress(chunk):
            yield data
    yield compressor.flush()


def _chained(start: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


class Decoder:
    """Decodes one blob piece by piece, and proves its digest at the end."""

    def __init__(self, digest: str, codec: Codec) -> None:
        self._digest = digest
        self._zstd = zstd.ZstdDecompressor() if codec is Codec.ZSTD else None
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes of a piece, at most 1 MiB at a time, however well they were compressed.

        Raises:
            BlobCorruptError: this is no zstd frame, or goes on after its end.
        """
        if self._zstd is None:
            self._hash.update(data)
            yield data
        else:
            yield from self._decompressed(self._zstd, data)

    def drain(self, data: bytes | memoryview) -> None:
        """Take a piece only to prove it; raises as :meth:`feed`."""
        if self._zstd is None:
            self._hash.update(data)
        else:
            for _ in self._decompressed(self._zstd, data):
                pass

    def _decompressed(self, frame: zstd.ZstdDecompressor, data: bytes | memoryview) -> Iterator[bytes]:
        while data or not (frame.needs_input or frame.eof):
            try:
                decoded = frame.decompress(data, CHUNK)
            except (zstd.ZstdError, EOFError) as error:
                raise corrupt(self._digest) from error
            self._hash.update(decoded)
            yield decoded
            data = b""

    def finish(self) -> None:
        """Prove that it was all of the blob.

        Raises:
            BlobCorruptError: the bytes aren't those that the digest names.
        """
        whole = self._zstd is None or (self._zstd.eof and not self._zstd.unused_data)
        if not whole or "sha256:" + self._hash.hexdigest() != self._digest:
            raise corrupt(self._digest)


def decoded(blob: Blob) -> Iterator[bytes]:
    """The decoded bytes of a blob, at most 1 MiB at a time.

    Raises:
        BlobCorruptError: after the last piece, when the bytes aren't those that the digest names; so whoever
            reads must not make anything visible before the end.
    """
    decoder = Decoder(blob.digest, blob.codec)
    for chunk in blob.chunks:
        yield from decoder.feed(chunk)
    decoder.finish()


def corrupt(digest: str) -> BlobCorruptError:
    """The error about a blob whose bytes aren't those that its digest names."""
    return BlobCorruptError(
        f"A file's content was damaged on its way or on disk: it isn't what {digest} names.",
        next_step="Run the same command again; what is damaged is sent again.",
        details={"digests": [digest]},
    )


def encode_difference(data: bytes, base: bytes) -> bytes:
    """A manifest as its difference to a similar one; a one-line edit among 5,000 files is about 200 bytes."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: _WINDOW_LOG}
    return zstd.compress(data, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix)


def decode_difference(difference: bytes, base: bytes, digest: str) -> bytes:
    """The manifest named ``digest`` again, from its difference to ``base``.

    Raises:
        ManifestInvalidError: it is no difference to that manifest, or gives another one than it should.
    """
    decompressor = zstd.ZstdDecompressor(zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix)
    try:
        data = decompressor.decompress(difference, MAX_MANIFEST)
    except zstd.ZstdError as error:
        raise ManifestInvalidError("This is not the difference between two manifests.") from error
    if digest_of(data) != digest:
        raise ManifestInvalidError("The manifest isn't the one that its digest names.")
    return data
