"""The tunnel to a gateway's pod, and what goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from offload.backends.kubernetes.client import Client
from offload.errors import ClusterError, ProtocolError
from offload.wire.codec import decode
from offload.wire.gateway_place import LAUNCHER_PORT, PROTOCOL, Introduction, Welcome, line
from offload.wire.splice import splice
from offload.wire.tunnel import Pipe, Purpose, Stream, Tunnel, TunnelError

_FIRST_LINE: Final = 10.0
_LONGEST: Final = 1 << 16
_PINGS: Final = 5
_PROBE: Final = 16 << 20
_MIB: Final = 1 << 20


@asynccontextmanager
async def linked(client: Client, pod: str, secret: str, socket: Path) -> AsyncIterator[Tunnel]:
    """A tunnel to the gateway in a pod, which still has to be run.

    Args:
        client: speaks to the API server.
        pod: path of the pod.
        secret: what the gateway knows the launcher by.
        socket: where streams of runners are handed over.

    Raises:
        KubernetesError: the API server can't be reached, or says no.
        ClusterError: the gateway refuses this launcher.
        TunnelError: the pod or the way to it broke.
    """

    async def serve(stream: Stream, purpose: int) -> None:
        if purpose == Purpose.RUNNER:
            reader, writer = await asyncio.open_unix_connection(socket)
            await splice(stream, reader, writer)

    pipe = await client.forward(pod, LAUNCHER_PORT)
    try:
        rest = await _introduce(pipe, secret)
        yield Tunnel(_Begun(pipe, rest), serve, dialled=True)
    finally:
        await pipe.aclose()


async def measure(tunnel: Tunnel) -> tuple[float, float]:
    """Seconds there and back, and bytes per second in each direction at once."""
    latency = min([await tunnel.ping() for _ in range(_PINGS)])
    stream = await tunnel.open(Purpose.ECHO)
    try:
        began = asyncio.get_running_loop().time()
        sending = asyncio.ensure_future(_send(stream, _PROBE))
        left = _PROBE
        while data := await stream.read():
            left -= len(data)
        await sending
        took = asyncio.get_running_loop().time() - began
    finally:
        await tunnel.close(stream)
    if left:
        raise TunnelError("The gateway sent back something else than it got.")
    return latency, _PROBE / took


async def _send(stream: Stream, size: int) -> None:
    piece = bytes(_MIB)
    for _ in range(size // _MIB):
        await stream.write(piece)
    await stream.end()


async def _introduce(pipe: Pipe, secret: str) -> bytes:
    """Exchange first lines; what came after the gateway's."""
    await pipe.send(line(Introduction(secret)))
    said = b""
    async with asyncio.timeout(_FIRST_LINE):
        while b"\n" not in said:
            data = await pipe.receive()
            said += data
            if not data or len(said) > _LONGEST:
                raise TunnelError("The gateway doesn't answer.")
    first, _, rest = said.partition(b"\n")
    try:
        welcome = decode(first, Welcome)
    except ProtocolError as error:
        raise TunnelError("What answers isn't a gateway.") from error
    if welcome.refusal:
        raise ClusterError(f"The gateway refuses this launcher: {welcome.refusal}")
    if welcome.protocol != PROTOCOL:
        raise ClusterError(f"The gateway speaks version {welcome.protocol} of its protocol, not {PROTOCOL}.")
    return rest


class _Begun:
    """A pipe of which some bytes were read already."""

    def __init__(self, pipe: Pipe, rest: bytes) -> None:
        self._pipe = pipe
        self._rest = rest

    async def send(self, data: bytes) -> None:
        await self._pipe.send(data)

    async def receive(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return await self._pipe.receive()
