"""Blobs and manifests over HTTP: the same calls for people and for runners, below different addresses."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from offload.errors import BlobMissingError, ManifestInvalidError
from offload.model.ids import JobId, job_of_pool
from offload.server.access import Here, bearer
from offload.server.api.parameters import Choice, Digest, DigestsBody
from offload.server.problems import answer, problems
from offload.wire.content import MANIFEST_TYPE, PACK_TYPE, Digests

_MAX_MANIFEST: Final = 256 << 20
"""Bytes; about two million files."""
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_TEXT: Final = {"schema": {"type": "string"}}
_PACK: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A pack of blobs.", "content": {PACK_TYPE: _BINARY}}
}
_MANIFEST: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A manifest.", "content": {MANIFEST_TYPE: _TEXT}}
}
_PUT_PACK: Final = {"requestBody": {"required": True, "content": {PACK_TYPE: _BINARY}}}
_PUT_MANIFEST: Final = {"requestBody": {"required": True, "content": {MANIFEST_TYPE: _TEXT}}}
Base = Annotated[
    str | None,
    Header(
        alias="X-Offload-Base",
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="The body is the difference to the manifest with this digest.",
    ),
]

Compressed = Annotated[Choice, Query(description="For a network, rather than for the same machine.")]


def with_content(router: APIRouter) -> APIRouter:
    """The router, with these routes added."""
    _add_blobs(router)
    _add_manifests(router)
    return router


def _add_blobs(router: APIRouter) -> None:
    @router.post("/blobs/missing", responses=problems(), summary="Ask which blobs aren't there")
    async def missing(body: DigestsBody, launcher: Here) -> Digests:
        """Those that are there are kept for at least an hour from now on."""
        return Digests(digests=tuple(await launcher.content.missing(body.digests)))

    @router.put(
        "/blobs",
        status_code=204,
        responses=problems(400),
        openapi_extra=_PUT_PACK,
        summary="Store a pack of blobs",
    )
    async def put_blobs(request: Request, launcher: Here) -> None:
        """Each blob is checked against its digest; the blobs before a damaged one are kept."""
        await launcher.content.receive(request.stream())

    @router.post(
        "/blobs/fetch",
        responses=_PACK | problems(409),
        response_class=StreamingResponse,
        summary="Fetch blobs as a pack",
    )
    async def fetch(
        body: DigestsBody, launcher: Here, *, compressed: Compressed = False
    ) -> StreamingResponse:
        """In the order asked for."""
        pieces = await launcher.content.send(tuple(dict.fromkeys(body.digests)), compress=compressed)
        return StreamingResponse(pieces, media_type=PACK_TYPE)


def _add_manifests(router: APIRouter) -> None:
    @router.head(
        "/manifests/{digest}",
        responses=_MANIFEST | problems(404),
        response_class=Response,
        summary="Ask whether a manifest and all of its blobs are there",
    )
    async def has_manifest(digest: Digest, launcher: Here) -> Response:
        """200 or 404."""
        if await launcher.content.has_manifest(digest):
            return Response(media_type=MANIFEST_TYPE)
        return answer(BlobMissingError(f"There is no manifest {digest} with all of its blobs."), 404)

    @router.get(
        "/manifests/{digest}",
        responses=_MANIFEST | problems(404),
        response_class=Response,
        summary="Read a manifest",
    )
    async def get_manifest(digest: Digest, launcher: Here) -> Response:
        """Its canonical text."""
        try:
            return Response(await launcher.content.get_manifest(digest), media_type=MANIFEST_TYPE)
        except BlobMissingError as error:
            return answer(error, 404)

    @router.put(
        "/manifests/{digest}",
        status_code=204,
        responses=problems(409),
        openapi_extra=_PUT_MANIFEST,
        summary="Store a manifest",
    )
    async def put_manifest(digest: Digest, request: Request, launcher: Here, base: Base = None) -> None:
        """409 `blob_missing` names the blobs that aren't there yet, or the base that isn't."""
        body = await _whole(request)
        await launcher.content.put_manifest(digest, body, base=base, job=_job_of(request, launcher))


async def _whole(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_MANIFEST:
            raise ManifestInvalidError(f"The manifest is larger than {_MAX_MANIFEST} bytes.")
    return bytes(body)


def _job_of(request: Request, launcher: Here) -> JobId | None:
    """The job whose runner calls: its results must not become garbage before their completion arrives."""
    pool = launcher.tokens.pool_of(bearer(request))
    return None if pool is None else job_of_pool(pool)
