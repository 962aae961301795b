"""A TCP relay before a real server, for what networks do: break connections, or swallow what is sent."""

from __future__ import annotations

import asyncio
from typing import Self


class Relay:
    """Relays to ``host:port``.

    Attributes:
        port: where it listens on 127.0.0.1.
        swallows: whether what comes back from the server is lost.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallows = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._open:
            writer.transport.abort()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._open) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        there, back = await asyncio.open_connection(*self._target)
        both = {writer, back}
        self._open |= both
        try:
            await asyncio.wait(
                {
                    asyncio.create_task(self._pump(reader, back)),
                    asyncio.create_task(self._pump(there, writer, coming_back=True)),
                },
                return_when="FIRST_COMPLETED",
            )
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, coming_back: bool = False
    ) -> None:
        try:
            while data := await reader.read(65536):
                if not (coming_back and self.swallows):
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
