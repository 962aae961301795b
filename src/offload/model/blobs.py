"""Where content-addressed bytes come from and go to, whoever stands behind it.

A blob can be larger than memory, so its bytes are pieces that are read once. A blob that comes out of a
stream must be read before the next one is asked for; what wasn't read by then is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Codec(IntEnum):
    """How a blob's bytes are stored and travel."""

    RAW = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob as it travels.

    Attributes:
        digest: ``sha256:`` + hex of the decoded bytes.
        codec: how ``chunks`` are encoded; all of them together are one zstd frame, or the plain bytes.
        chunks: the encoded bytes in pieces of any size; read once. Nobody has checked them yet.
    """

    digest: str
    codec: Codec
    chunks: Iterable[bytes]


class BlobSink(Protocol):
    """Takes blobs and manifests. Putting what is there already is no error."""

    @property
    def is_near(self) -> bool:
        """Whether sending costs little more than asking, because it is on this machine."""

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these aren't there."""

    def put(self, blobs: Iterable[Blob]) -> int:
        """Store them, and say how many bytes travelled; each is checked against its digest."""

    def has_manifest(self, digest: str) -> bool:
        """Whether the manifest, and so every blob that it names, is there."""

    def put_manifest(self, digest: str, data: bytes, *, base: tuple[str, bytes] | None = None) -> int:
        """Store a manifest, and say how many bytes travelled for it.

        Raises ``BlobMissingError`` when one of its blobs isn't there.

        ``base`` is digest and bytes of a similar manifest that the sink has, so that only the difference
        travels.
        """


class BlobSource(Protocol):
    """Gives blobs and manifests."""

    def fetch(self, digests: Sequence[str]) -> Iterator[Blob]:
        """The blobs, in any order, each once; raises ``BlobMissingError`` when one isn't there."""

    def get_manifest(self, digest: str) -> bytes:
        """Canonical bytes of a manifest."""
