"""Runners without tasks: each says hello, takes a lease and keeps it, as a real one does with a long task.

They speak the runner protocol over real connections, all from one thread, so that a thousand of them cost
this machine little and the launcher as much as real ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from offload.wire.codec import T, decode, encode
from offload.wire.runner_protocol import PROTOCOL_VERSION, Hello, LeaseRequest, LeaseResponse, Welcome
from offload.wire.version import VERSION

_AT_ONCE = 50


class ReleasedError(Exception):
    """The launcher wants nothing more of a runner."""


class Pretenders:
    """A crowd of runners.

    Args:
        address: ``http://host:port`` of the launcher.
        tokens: of the pool, by runner.

    Attributes:
        holding: how many have a lease.
    """

    def __init__(self, address: str, tokens: Mapping[str, str]) -> None:
        self._address = urlsplit(address)
        self._tokens = tokens
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))
        self._over = asyncio.Event()
        self._few = asyncio.Semaphore(_AT_ONCE)
        self.holding = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    async def _live(self) -> None:
        crowd = [asyncio.create_task(self._one(runner)) for runner in self._tokens]
        await self._over.wait()
        for one in crowd:
            one.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    async def _one(self, runner: str) -> None:
        async with self._few:
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        line = Line(reader, writer, self._tokens[runner])
        try:
            async with self._few:
                await line.ask("hello", _hello(runner), Welcome)
            await self._hold(line, runner)
        except (ReleasedError, OSError):
            return
        finally:
            writer.close()

    async def _hold(self, line: Line, runner: str) -> None:
        held: tuple[str, ...] = ()
        while True:
            request = LeaseRequest(runner=runner, free_slots=0 if held else 1, holding=held)
            answer = await line.ask("lease", request, LeaseResponse)
            if answer.leases:
                held = tuple(lease.token for lease in answer.leases)
                self.holding += 1


class Line:
    """One connection to the launcher."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token

    async def ask(self, call: str, message: object, kind: type[T]) -> T:
        """One call and its answer."""
        body = encode(message)
        head = (
            f"POST /runner/v1/{call} HTTP/1.1\r\nHost: launcher\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        status, *headers = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        size = next(int(one.split(b":")[1]) for one in headers if one.startswith(b"content-length:"))
        answer = await self._reader.readexactly(size)
        if b" 200 " not in status:
            raise ReleasedError(answer)
        return decode(answer, kind)


def _hello(runner: str) -> Hello:
    return Hello(
        runner=runner, protocol=PROTOCOL_VERSION, version=VERSION, hostname=runner, cpus=1, memory=1 << 30
    )
