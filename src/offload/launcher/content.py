"""Blobs and manifests together, and the one lock that garbage collection shares with whoever begins to need
them.

A blob is needed once a manifest or a job refers to it. Between seeing that it is there and writing that
reference lies a moment in which the janitor must not delete it: both hold ``lock`` for that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from offload.errors import BlobMissingError, ManifestInvalidError
from offload.launcher.clock import Clock
from offload.model.ids import JobId
from offload.model.manifest import decode_manifest, digest_of
from offload.store import manifests
from offload.store.blobs import BlobFiles
from offload.store.engine import Store
from offload.wire.encoding import compressed, decode_difference
from offload.wire.packs import encode_pack

_CHUNK: Final = 1 << 20
"""Bytes that are worth the way into a thread."""


class Content:
    """What is stored under digests."""

    def __init__(self, files: BlobFiles, store: Store, clock: Clock) -> None:
        self.files = files
        self.lock = asyncio.Lock()
        self._store = store
        self._clock = clock

    async def missing(self, digests: Iterable[str]) -> list[str]:
        """Which of these blobs aren't there, sorted."""
        return sorted(await asyncio.to_thread(self.files.missing, tuple(digests)))

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        """Store the blobs of a pack as it comes in: while a megabyte is stored, the next is received.

        Raises:
            ProtocolError: this is no pack.
            BlobCorruptError: bytes aren't what their digest names; the blobs before are kept.
            DiskFullError: there is no space left.
        """
        with self.files.receive() as receiver:
            storing = asyncio.get_running_loop().create_future()
            storing.set_result(None)
            async for chunks in _megabytes(body):
                await storing
                storing = asyncio.ensure_future(asyncio.to_thread(receiver.feed, *chunks))
                storing.add_done_callback(_look_at)
            await storing
            await asyncio.to_thread(receiver.close)

    async def send(self, digests: tuple[str, ...], *, compress: bool = False) -> AsyncIterator[bytes]:
        """The pack of these blobs; raises ``BlobMissingError`` or ``BlobCorruptError`` at once."""
        blobs = await asyncio.to_thread(self.files.fetch, digests)
        pieces = encode_pack(map(compressed, blobs) if compress else blobs)
        return _each(pieces, await asyncio.to_thread(next, pieces, None))

    async def has_manifest(self, digest: str) -> bool:
        """Whether a manifest and every blob that it names are there; if so, they are spared for a while."""
        async with self.lock:
            if not await self._store.run(manifests.touch, digest, self._clock.now()):
                return False
            return not await self.missing(await self._store.run(manifests.blobs_of, digest))

    async def get_manifest(self, digest: str) -> bytes:
        """A manifest's canonical bytes; raises ``BlobMissingError`` when it isn't there."""
        return await self._store.run(manifests.get, digest)

    async def put_manifest(
        self, digest: str, body: bytes, *, base: str | None = None, job: JobId | None = None
    ) -> None:
        """Store a manifest. ``base``: ``body`` is the difference to that one. ``job``: it needs the manifest.

        Raises:
            ManifestInvalidError: this is no manifest, or not the one that ``digest`` names.
            BlobMissingError: it names blobs that aren't there, or the base isn't.
        """
        if base:
            known = await self.get_manifest(base)
            body = await asyncio.to_thread(decode_difference, body, known, digest)
        if digest_of(body) != digest:
            raise ManifestInvalidError("The manifest isn't the one that its digest names.")
        manifest = await asyncio.to_thread(decode_manifest, body)
        async with self.lock:
            if missing := await self.missing(manifest.blobs()):
                raise BlobMissingError(
                    f"{len(missing)} files of the manifest aren't with the launcher.",
                    details={"digests": missing},
                )
            await self._store.run(manifests.put, digest, body, manifest, self._clock.now())
            if job is not None:
                await self._store.run(manifests.refer, job, digest)


async def _megabytes(body: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    async for chunk in body:
        held.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield held
            held, size = [], 0
    yield held


def _look_at(storing: asyncio.Future[None]) -> None:
    """Who gave up the request doesn't ask what became of its last bytes."""
    if not storing.cancelled():
        storing.exception()


async def _each(pieces: Iterator[bytes], first: bytes | None) -> AsyncIterator[bytes]:
    piece = first
    while piece is not None:
        yield piece
        piece = await asyncio.to_thread(next, pieces, None)
