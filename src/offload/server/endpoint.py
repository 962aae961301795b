"""Where runners arrive that come through a tunnel: their half of the API, encrypted from end to end.

A gateway carries bytes and must not be able to read or change them, so encryption ends here: runners trust
one certificate, this launcher's own, which it makes for itself. The Unix socket is private to this user, and
behind it is the runners' API alone, which asks for a pool's token. It is opened when it is first needed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from offload.backends.contract import Endpoint
from offload.server.certificate import certificate_in, make_certificate
from offload.server.listening import Server, unix_socket


class RunnerEndpoint:
    """Serves the runners' API over TLS on a Unix socket, from the first call of :meth:`open` on.

    Args:
        socket: path of the Unix socket.
        pem: file with the private key and the certificate, which is made when it isn't there.
    """

    def __init__(self, socket: Path, pem: Path) -> None:
        self._socket = socket
        self._pem = pem
        self._app_of: Callable[[], ASGIApp] | None = None
        self._opening = asyncio.Lock()
        self._opened: Endpoint | None = None
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def serve(self, app_of: Callable[[], ASGIApp]) -> None:
        """From now on there is something to serve; it is made when it is first needed."""
        self._app_of = app_of

    async def open(self) -> Endpoint:
        """Where connections are served, and the certificate that they show."""
        async with self._opening:  # several clusters may ask for it at once
            if self._opened is None:
                assert self._app_of is not None, "a launcher that doesn't serve starts no runners"
                await asyncio.to_thread(make_certificate, self._pem)
                self._server = Server(self._app_of(), pem=self._pem)
                listening = unix_socket(self._socket)
                self._serving = asyncio.create_task(self._server.serve([listening]), name="runner endpoint")
                self._opened = Endpoint(socket=self._socket, certificate=certificate_in(self._pem))
            return self._opened

    async def aclose(self) -> None:
        """End what is being served."""
        if self._server is None or self._serving is None:
            return
        self._socket.unlink(missing_ok=True)
        self._server.end()
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving
