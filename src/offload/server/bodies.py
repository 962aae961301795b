"""The bodies of packs, as they come from the socket.

Uvicorn gathers a body in one growing buffer, copies that for whoever reads it, and wakes the reader for each
64 kB. For the hundreds of megabytes of a first snapshot that takes nearly twice the CPU time of receiving
them. So packs take another way through it: their pieces stay as they were received, and the reader is woken
once for a megabyte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_ENOUGH: Final = 1 << 20
"""Bytes for which the reader is woken, and beyond which nothing more is received."""
_EXTENSION: Final = "offload.pack"


def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, in pieces; raises ``ClientDisconnect`` when it breaks off."""
    body: Body | None = request.scope.get("extensions", {}).get(_EXTENSION, {}).get("body")
    return request.stream() if body is None else body.pieces()


class Body:
    """A body that is being received; ``flow`` says whether the connection is read."""

    def __init__(self, flow: FlowControl) -> None:
        self._flow = flow
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = self._is_broken = False
        self._woken = asyncio.Event()

    def take(self, piece: bytes) -> None:
        """This was received."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _ENOUGH:
            self._flow.pause_reading()
            self._woken.set()

    def end(self, *, broken: bool = False) -> None:
        """Nothing more comes; ``broken`` when the client went away."""
        self._is_broken = broken and not self._ended
        self._ended = True
        self._woken.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it; raises ``ClientDisconnect`` when it breaks off."""
        while not self._ended or self._pieces:
            await self._woken.wait()
            if self._is_broken:
                raise ClientDisconnect
            pieces, self._pieces, self._size = self._pieces, [], 0
            if not self._ended:
                self._woken.clear()
                self._flow.resume_reading()
            for piece in pieces:
                yield piece


class Protocol(HttpToolsProtocol):
    """Uvicorn's, with the other way for packs."""

    _body: Body | None = None
    """Of the request that is being received, if it is a pack."""

    def on_headers_complete(self) -> None:
        """A request begins; its task starts later."""
        super().on_headers_complete()
        is_pack = self.scope["method"] == "PUT" and self.scope["path"].endswith("/blobs")
        # Who expects to be told to go on is told by what is left out here.
        self._body = Body(self.flow) if is_pack and not self.expect_100_continue else None
        if self._body:
            self.scope["extensions"] = {_EXTENSION: {"body": self._body}}

    def on_body(self, body: bytes) -> None:
        """A piece was received."""
        if self._body is None or self.cycle.response_complete:
            super().on_body(body)
        else:
            self._body.take(body)

    def on_message_complete(self) -> None:
        """All of a request was received."""
        super().on_message_complete()
        if self._body:
            self._body.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away."""
        super().connection_lost(exc)
        if self._body:
            self._body.end(broken=True)
