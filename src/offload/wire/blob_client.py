"""Blobs and manifests of a launcher, over HTTP.

One request carries any number of blobs, as a :mod:`pack <offload.wire.packs>`. A manifest that differs
little from one that the launcher has travels as the difference: ``PUT /manifests/{digest}`` with the
other's digest in ``X-Offload-Base`` and the body of :func:`~offload.wire.encoding.encode_difference`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from offload.errors import BlobMissingError, LauncherUnreachableError, OffloadError
from offload.model.blobs import Blob
from offload.wire.chunked import Parts
from offload.wire.codec import decode, encode
from offload.wire.content import MANIFEST_TYPE, PACK_TYPE, Digests
from offload.wire.encoding import compressed, encode_difference
from offload.wire.http import Connection, Response
from offload.wire.packs import decode_pack, pack_parts

BASE_HEADER: Final = "X-Offload-Base"
_NOT_FOUND: Final = 404


class HttpBlobs:
    """A launcher's blobs below ``prefix`` (``/v1`` or ``/runner/v1``): both a sink and a source.

    While blobs are being fetched, the connection is busy. Errors are those of the launcher, and
    ``LauncherUnreachableError`` when it goes away; each call may then be repeated.

    Attributes:
        is_near: whether the launcher is on this machine.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self.is_near = connection.address.startswith("unix:")

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these the launcher lacks."""
        if not digests:
            return set()
        answer = self._request("POST", "/blobs/missing", encode(Digests(digests=tuple(digests))))
        return set(decode(answer.read(), Digests).digests)

    def put(self, blobs: Iterable[Blob]) -> int:
        """Send blobs in one request, as they are produced, compressed for a network; says how many bytes."""
        sent = 0

        def counted(pack: Iterable[Parts]) -> Iterator[Parts]:
            nonlocal sent
            for parts in pack:
                sent += sum(map(len, parts))
                yield parts

        pack = pack_parts(blobs if self.is_near else map(compressed, blobs))
        try:
            self._request("PUT", "/blobs", counted(pack), content_type=PACK_TYPE).read()
        except BaseException:
            # The request may have stopped anywhere, so nothing else can follow on this connection.
            self._connection.close()
            raise
        return sent

    def has_manifest(self, digest: str) -> bool:
        """Whether the launcher has the manifest and all that it names."""
        try:
            self._request("HEAD", f"/manifests/{digest}").read()
        except OffloadError as error:
            if error.details.get("status") == _NOT_FOUND:
                return False
            raise
        return True

    def put_manifest(self, digest: str, data: bytes, *, base: tuple[str, bytes] | None = None) -> int:
        """Send a manifest, or its difference to ``base``; says how many bytes that was."""
        headers = {BASE_HEADER: base[0]} if base else {}
        body = encode_difference(data, base[1]) if base else data
        self._request("PUT", f"/manifests/{digest}", body, headers=headers, content_type=MANIFEST_TYPE).read()
        return len(body)

    def get_manifest(self, digest: str) -> bytes:
        """Canonical bytes of a manifest."""
        return self._request("GET", f"/manifests/{digest}").read()

    def fetch(self, digests: Sequence[str]) -> Iterator[Blob]:
        """The blobs, each once. An answer that breaks off between two is asked for again from there.

        Raises:
            BlobMissingError: the launcher lacks some.
            BlobCorruptError: one is damaged on the launcher's disk.
            LauncherUnreachableError: it broke off without any blob having come; while the pieces of a large
                blob are read, this may mean that it is damaged, which the next call says.
        """
        waiting = dict.fromkeys(digests)
        while waiting:
            before = len(waiting)
            try:
                yield from self._some(waiting)
            except LauncherUnreachableError:
                if len(waiting) == before:
                    raise
                continue
            if waiting:
                raise BlobMissingError(
                    f"The launcher left out {len(waiting)} files.", details={"digests": list(waiting)}
                )

    def _some(self, waiting: dict[str, None]) -> Iterator[Blob]:
        path = "/blobs/fetch" if self.is_near else "/blobs/fetch?compressed=true"
        answer = self._request("POST", path, encode(Digests(digests=tuple(waiting))))
        whole = False
        try:
            for blob in decode_pack(answer.chunks()):
                if blob.digest in waiting:
                    yield blob
                    del waiting[blob.digest]
            whole = True
        finally:
            if not whole:
                self._connection.close()

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[Parts] | None = None,
        *,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Response:
        return self._connection.request(
            method, self._prefix + path, body, headers=headers, content_type=content_type
        )
