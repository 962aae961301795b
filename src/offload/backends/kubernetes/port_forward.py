"""A connection to a port of a pod, through the API server.

It is a WebSocket with the subprotocol ``v4.channel.k8s.io``: the first byte of a message is its channel, 0
for the connection's bytes and 1 for what went wrong; the first message of each channel holds the port, in two
bytes. Nothing has to listen here: so a pod reaches whoever can't be reached.

Source: ``k8s.io/apiserver`` and ``k8s.io/kubelet``, ``pkg/cri/streaming/portforward/websocket.go``.
"""

from __future__ import annotations

from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.typing import Subprotocol

from offload.backends.kubernetes.access import Access
from offload.backends.kubernetes.api_errors import ApiUnreachableError, Status, api_error
from offload.backends.kubernetes.credentials import Credential
from offload.backends.kubernetes.tls import tls_context
from offload.wire.tunnel import TunnelError
from offload.wire.version import VERSION

__all__ = ["PortForward", "open_port"]

_CHANNELS: Final = Subprotocol("v4.channel.k8s.io")
_DATA: Final = b"\0"
_ERROR: Final = b"\1"
_CONNECT: Final = 10.0
_CLOSE: Final = 1.0
_LARGEST: Final = 1 << 22
_AHEAD: Final = 32
"""Messages that are read ahead; the server's have 32 KiB."""


class PortForward:
    """An open connection: a :class:`~offload.wire.tunnel.Pipe`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._begun = {_DATA: False, _ERROR: False}

    async def send(self, data: bytes) -> None:
        """Send; returns once there is room for more. Raises ``TunnelError`` when it is broken."""
        try:
            await self._socket.send(_DATA + data)
        except ConnectionClosed as error:
            raise TunnelError(f"The connection through the API server broke: {error}") from error

    async def receive(self) -> bytes:
        """The next bytes; empty at the end. Raises ``TunnelError`` with what the cluster says went wrong."""
        while True:
            try:
                message = await self._socket.recv(decode=False)
            except ConnectionClosed:
                return b""
            channel, body = message[:1], message[1:]
            if not self._begun.get(channel, True):
                self._begun[channel] = True  # the port, which we know
            elif channel == _ERROR and body:
                raise TunnelError(f"The cluster says: {body.decode(errors='replace').strip()}")
            elif channel == _DATA and body:
                return body

    async def aclose(self) -> None:
        """Close it."""
        await self._socket.close()


async def open_port(access: Access, shown: Credential, path: str, what: str) -> PortForward:
    """Connect to the port that ``path`` names: ``…/pods/NAME/portforward?ports=8751``.

    Raises:
        KubernetesError: the API server can't be reached, or says no.
    """
    extra: dict[str, Any] = {"server_hostname": access.tls_server_name} if access.tls_server_name else {}
    try:
        socket = await connect(
            "ws" + access.server.removeprefix("http") + path,
            ssl=tls_context(access, shown),
            additional_headers=shown.headers(access),
            user_agent_header=f"offload/{VERSION}",
            subprotocols=[_CHANNELS],
            compression=None,
            proxy=access.proxy_url,
            open_timeout=_CONNECT,
            close_timeout=_CLOSE,
            ping_interval=None,  # the tunnel asks whether the other end is there
            max_size=_LARGEST,
            max_queue=_AHEAD,
            **extra,
        )
    except InvalidStatus as error:
        body = error.response.body or b""
        raise api_error(what, error.response.status_code, bytes(body), "") from error
    except (OSError, InvalidHandshake, InvalidURI, WebSocketException) as error:
        raise ApiUnreachableError(what, Status(message=str(error) or type(error).__name__)) from error
    return PortForward(socket)
