"""Where content-addressed bytes come from and go to, whoever stands behind it."""

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
    """One blob as it travels: ``data`` is encoded with ``codec``; ``digest`` names the decoded bytes."""

    digest: str
    codec: Codec
    data: bytes


class BlobSink(Protocol):
    """Takes blobs and manifests."""

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these aren't there."""

    def put(self, blobs: Iterable[Blob]) -> None:
        """Store them; each is checked against its digest."""

    def has_manifest(self, digest: str) -> bool:
        """Whether the manifest, and so every blob that it names, is there."""

    def put_manifest(self, digest: str, data: bytes) -> None:
        """Store a manifest; raises ``BlobMissingError`` when one of its blobs isn't there."""


class BlobSource(Protocol):
    """Gives blobs and manifests."""

    def fetch(self, digests: Sequence[str]) -> Iterator[Blob]:
        """The blobs, in any order, each once; raises ``BlobMissingError`` when one isn't there."""

    def get_manifest(self, digest: str) -> bytes:
        """Canonical bytes of a manifest."""
