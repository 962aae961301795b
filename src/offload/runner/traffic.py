"""Blobs of the launcher, with patience and a meter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from offload.model.blobs import Blob
from offload.runner.patience import PREFIX, Patience
from offload.wire.blob_client import HttpBlobs
from offload.wire.http import Connection


class Blobs:
    """A sink and a source that repeats small calls by itself and counts bytes of blobs.

    ``put`` and ``fetch`` stream, so only the caller can repeat them from their start.

    Attributes:
        bytes_in: of blobs fetched.
        bytes_out: of blobs and manifests sent.
        is_near: whether the launcher is on this machine.
    """

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self._blobs = HttpBlobs(connection, PREFIX)
        self._patience = patience
        self.is_near = self._blobs.is_near
        self.bytes_in = 0
        self.bytes_out = 0

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these the launcher lacks."""
        return self._patience.call(lambda: self._blobs.missing(digests))

    def put(self, blobs: Iterable[Blob]) -> int:
        """Send blobs; how many bytes that were."""
        sent = self._blobs.put(blobs)
        self.bytes_out += sent
        return sent

    def has_manifest(self, digest: str) -> bool:
        """Whether the launcher has the manifest and all that it names."""
        return self._patience.call(lambda: self._blobs.has_manifest(digest))

    def put_manifest(self, digest: str, data: bytes, *, base: tuple[str, bytes] | None = None) -> int:
        """Send a manifest; how many bytes that were."""
        sent = self._patience.call(lambda: self._blobs.put_manifest(digest, data, base=base))
        self.bytes_out += sent
        return sent

    def get_manifest(self, digest: str) -> bytes:
        """Canonical bytes of a manifest."""
        return self._patience.call(lambda: self._blobs.get_manifest(digest))

    def fetch(self, digests: Sequence[str]) -> Iterator[Blob]:
        """The blobs, each once."""
        for blob in self._blobs.fetch(digests):
            yield Blob(blob.digest, blob.codec, self._in(blob.chunks))

    def _in(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes_in += len(chunk)
            yield chunk
