"""Joins each runner's connection with a stream in the tunnel of the launcher that is there.

While there is no launcher, a runner's connection is held for a moment, since a launcher that is restarted is
back in seconds; then it is broken off, and the runner dials again. There is one launcher: whoever shows its
secret later takes the place of an earlier one, which may have been cut off without anybody's noticing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import sys
from typing import Final

from offload.errors import ProtocolError
from offload.wire.codec import decode
from offload.wire.gateway_place import PROTOCOL, Introduction, Welcome, line, proof_of
from offload.wire.splice import echo, splice
from offload.wire.tunnel import Purpose, Stream, StreamPipe, Tunnel, TunnelError

_HELD: Final = 20.0
"""Seconds for which a connection waits for a launcher."""
_FIRST_LINE: Final = 10.0
READ_AHEAD: Final = 1 << 17
"""Bytes of one connection; also the longest first line."""


class Gateway:
    """The launcher's tunnel, when there is one, and what goes through it.

    Args:
        proof: SHA-256 of the launcher's secret.

    Attributes:
        needed: when somebody was last here, by the loop's clock.
    """

    def __init__(self, proof: str) -> None:
        self._proof = proof
        self._tunnel: Tunnel | None = None
        self._line: asyncio.StreamWriter | None = None
        self._there = asyncio.Event()
        self.needed = asyncio.get_running_loop().time()

    async def take_runner(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection of a runner to its end."""
        self._touch()
        try:
            async with asyncio.timeout(_HELD):
                await self._there.wait()
            tunnel = self._tunnel
            if tunnel is None:
                raise TunnelError("The launcher has just gone.")
            stream = await tunnel.open(Purpose.RUNNER)
        except OSError:  # TimeoutError among them
            writer.transport.abort()
            return
        try:
            await splice(stream, reader, writer)
        finally:
            with contextlib.suppress(OSError):
                await tunnel.close(stream)

    async def take_launcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection that says it is the launcher's."""
        try:
            async with asyncio.timeout(_FIRST_LINE):
                refusal = self._refusal(await reader.readuntil(b"\n"))
                writer.write(line(Welcome(refusal)))
                await writer.drain()
            if not refusal:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            _say(f"The launcher's connection ended: {error}")
        finally:
            writer.transport.abort()

    def _refusal(self, first: bytes) -> str:
        try:
            said = decode(first, Introduction)
        except ProtocolError:
            return "This isn't a launcher."
        if not hmac.compare_digest(proof_of(said.secret), self._proof):
            return "This isn't the launcher that the gateway belongs to."
        if said.protocol != PROTOCOL:
            return f"This gateway speaks version {PROTOCOL} of the protocol, not {said.protocol}."
        return ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._line is not None:
            self._line.transport.abort()
        tunnel = self._tunnel = Tunnel(StreamPipe(reader, writer), _answer, dialled=False)
        self._line = writer
        self._there.set()
        _say("The launcher is there.")
        try:
            await tunnel.run()
        finally:
            self._touch()
            if self._tunnel is tunnel:
                self._tunnel = self._line = None
                self._there.clear()

    @property
    def idle(self) -> float:
        """Seconds since anybody was here; 0 while the launcher is."""
        return 0.0 if self._tunnel else asyncio.get_running_loop().time() - self.needed

    def _touch(self) -> None:
        self.needed = asyncio.get_running_loop().time()


async def _answer(stream: Stream, purpose: int) -> None:
    if purpose == Purpose.ECHO:
        await echo(stream)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
