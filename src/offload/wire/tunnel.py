"""Many connections in one: the tunnel between a launcher and its gateway.

The launcher dials out once, and the gateway opens a stream in the tunnel for each runner that dials it. A
frame is a head of nine bytes (kind, stream, number; big-endian), followed by ``number`` bytes where it is
DATA. Nothing waits for a slow stream but that stream: each may have at most ``WINDOW`` bytes under way that
weren't consumed at the other end, which gives credit as it consumes. So memory is bounded at both ends, and
whoever reads slowly makes the one who writes to it slow, through however many programs lie between.

Silence kills: both ends ping while they hear nothing, and give up when even that isn't answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from enum import IntEnum
from typing import Any, Final, Protocol

__all__ = ["Pipe", "Purpose", "Stream", "StreamPipe", "Tunnel", "TunnelError"]

WINDOW: Final = 1 << 20
"""Bytes of one stream that may be under way: 20 MB/s at 50 ms for each of the streams."""
PIECE: Final = 1 << 16
"""Bytes of one frame at most; streams take turns in between."""
QUIET: Final = 10.0
"""Seconds without a word after which the other end is asked whether it is there."""
DEAD: Final = 30.0
"""Seconds without a word after which it isn't."""
_HEAD: Final = struct.Struct(">BII")


class TunnelError(ConnectionError):
    """The tunnel broke, or the other end of it doesn't keep to the protocol."""


class _Kind(IntEnum):
    OPEN = 1
    DATA = 2
    CREDIT = 3
    END = 4
    RESET = 5
    PING = 6
    PONG = 7


class Purpose(IntEnum):
    """What a stream is for."""

    RUNNER = 0
    """A runner's connection to the launcher."""
    ECHO = 1
    """Everything comes back; the way is measured so."""


class Pipe(Protocol):
    """What a tunnel runs through: bytes in order, both ways."""

    async def send(self, data: bytes) -> None:
        """Send; returns once there is room for more, raises ``OSError`` when it is broken."""

    async def receive(self) -> bytes:
        """The next bytes; empty at the end; raises ``OSError`` when it is broken."""


class StreamPipe:
    """A pipe over a connection of asyncio."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send, and wait while much is still to be taken."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""
        return await self._reader.read(4 * PIECE)


class Stream:
    """One connection in a tunnel, for one reader and one writer."""

    def __init__(self, number: int, say: Callable[[_Kind, int, int, bytes], Awaitable[None]]) -> None:
        self.number = number
        self._say = say
        self._received: deque[bytes] = deque()
        self._room = WINDOW  # for what comes
        self._credit = WINDOW  # for what goes
        self._owed = 0
        self._over = self._broken = self._ended = False
        self._changed = asyncio.Event()
        self._may_write = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes, or none at the end.

        Raises:
            TunnelError: it was broken off.
        """
        while not self._received:
            if self._broken:
                raise TunnelError("The connection was broken off.")
            if self._over:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._received.popleft()
        self._owed += len(data)
        if self._owed >= WINDOW // 2:
            owed, self._owed = self._owed, 0
            self._room += owed
            await self._say(_Kind.CREDIT, self.number, owed, b"")
        return data

    async def write(self, data: bytes) -> None:
        """Send ``data``; returns when all of it is under way.

        Raises:
            TunnelError: it was broken off.
        """
        rest = memoryview(data)
        while rest:
            while not self._credit and not self._broken:
                self._may_write.clear()
                await self._may_write.wait()
            if self._broken:
                raise TunnelError("The connection was broken off.")
            size = min(len(rest), self._credit, PIECE)
            self._credit -= size
            await self._say(_Kind.DATA, self.number, size, bytes(rest[:size]))
            rest = rest[size:]

    async def end(self) -> None:
        """Nothing more is written; reading goes on."""
        if not self._ended and not self._broken:
            self._ended = True
            await self._say(_Kind.END, self.number, 0, b"")

    async def reset(self) -> None:
        """Break it off at both ends, unless it has come to its end at both."""
        if not self._broken and not self.is_done:
            self.hear_break()
            await self._say(_Kind.RESET, self.number, 0, b"")

    @property
    def is_done(self) -> bool:
        """Whether both ends have said that nothing more comes."""
        return self._over and self._ended

    def hear_data(self, data: bytes) -> None:
        """The other end sent bytes; raises ``TunnelError`` if it had no room for them."""
        self._room -= len(data)
        if self._room < 0:
            raise TunnelError("More was sent than there is room for.")
        self._received.append(data)
        self._changed.set()

    def hear_credit(self, size: int) -> None:
        """The other end consumed bytes."""
        self._credit += size
        self._may_write.set()

    def hear_end(self) -> None:
        """The other end has nothing more to say."""
        self._over = True
        self._changed.set()

    def hear_break(self) -> None:
        """It is broken off; what wasn't read yet is gone."""
        self._broken = True
        self._received.clear()
        self._changed.set()
        self._may_write.set()


class Tunnel:
    """One end of a tunnel.

    Args:
        pipe: what it runs through.
        serve: called for each stream that the other end opens; the stream ends when it returns.
        dialled: whether this end dialled; its streams have even numbers, the other's odd ones.
        quiet: seconds without a word after which the other end is asked.
        dead: seconds without a word after which the tunnel is given up.
    """

    def __init__(
        self,
        pipe: Pipe,
        serve: Callable[[Stream, int], Coroutine[Any, Any, None]],
        *,
        dialled: bool,
        quiet: float = QUIET,
        dead: float = DEAD,
    ) -> None:
        self._pipe = pipe
        self._serve = serve
        self._next = 2 if dialled else 1
        self._quiet, self._dead = quiet, dead
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._heard = 0.0
        self._broken = False

    async def run(self) -> None:
        """Carry streams until the pipe ends.

        Raises:
            TunnelError: the other end is silent, or doesn't keep to the protocol.
            OSError: the pipe broke.
        """
        self._heard = asyncio.get_running_loop().time()
        receiving = asyncio.ensure_future(self._receive())
        watching = asyncio.ensure_future(self._watch())
        try:
            done, _ = await asyncio.wait({receiving, watching}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            await self._break(receiving, watching)

    async def open(self, purpose: Purpose) -> Stream:
        """A new stream to the other end; raises ``TunnelError`` when the tunnel is broken."""
        if self._broken:
            raise TunnelError("The tunnel is broken.")
        stream = self._streams[self._next] = Stream(self._next, self._say)
        self._next += 2
        await self._say(_Kind.OPEN, stream.number, purpose, b"")
        return stream

    async def close(self, stream: Stream) -> None:
        """Forget a stream, which is broken off unless it came to its end."""
        self._streams.pop(stream.number, None)
        await stream.reset()

    async def ping(self) -> float:
        """Seconds there and back; raises ``TunnelError`` when the tunnel breaks meanwhile."""
        if self._broken:
            raise TunnelError("The tunnel is broken.")
        loop = asyncio.get_running_loop()
        number, began = next(self._numbers), loop.time()
        answered = self._asked[number] = loop.create_future()
        try:
            await self._say(_Kind.PING, 0, number, b"")
            await answered
        finally:
            self._asked.pop(number, None)
        return loop.time() - began

    async def _say(self, kind: _Kind, stream: int, number: int, payload: bytes) -> None:
        async with self._turn:  # first come, first served: that is how streams take turns
            if self._broken:
                raise TunnelError("The tunnel is broken.")
            await self._pipe.send(_HEAD.pack(kind, stream, number) + payload)

    async def _receive(self) -> None:
        """Take what comes; never waits for room to send, or both ends could wait for each other."""
        frames = _Frames()
        loop = asyncio.get_running_loop()
        while data := await self._pipe.receive():
            self._heard = loop.time()
            for kind, stream, number, payload in frames.feed(data):
                self._hear(kind, stream, number, payload)

    def _hear(self, kind: int, number: int, amount: int, payload: bytes) -> None:
        match kind:
            case _Kind.OPEN:
                self._accept(number, amount)
            case _Kind.PING:
                self._spawn(self._say(_Kind.PONG, 0, amount, b""))
            case _Kind.PONG:
                if (asked := self._asked.get(amount)) and not asked.done():
                    asked.set_result(None)
            case _Kind.DATA | _Kind.CREDIT | _Kind.END | _Kind.RESET:
                # A stream that is forgotten here may still be spoken of there.
                if stream := self._streams.get(number):
                    _tell(stream, kind, amount, payload)
            case _:
                raise TunnelError(f"There is no frame of kind {kind}.")

    def _accept(self, number: int, purpose: int) -> None:
        if number in self._streams or number % 2 == self._next % 2:
            raise TunnelError(f"Stream {number} can't be opened.")
        stream = self._streams[number] = Stream(number, self._say)
        self._spawn(self._attend(stream, purpose))

    async def _attend(self, stream: Stream, purpose: int) -> None:
        try:
            await self._serve(stream, purpose)
        finally:
            await self.close(stream)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_broken(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while (silent := loop.time() - self._heard) < self._dead:
            if silent >= self._quiet:
                self._spawn(self._say(_Kind.PING, 0, 0, b""))
            await asyncio.sleep(max(self._quiet - silent, self._quiet / 2))
        raise TunnelError(f"Nothing was heard through the tunnel for {silent:.0f} s.")

    async def _break(self, *own: asyncio.Future[None]) -> None:
        self._broken = True
        for stream in self._streams.values():
            stream.hear_break()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(TunnelError("The tunnel broke."))
        for task in (*own, *self._tasks):
            task.cancel()
        await asyncio.gather(*own, *self._tasks, return_exceptions=True)


class _Frames:
    """Cuts bytes into frames, however they arrive."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= _HEAD.size:
            kind, stream, number = _HEAD.unpack_from(rest, at)
            size = number if kind == _Kind.DATA else 0
            if size > PIECE:
                raise TunnelError(f"A frame of {size} bytes is too large.")
            end = at + _HEAD.size + size
            if end > len(rest):
                break
            yield kind, stream, number, bytes(rest[at + _HEAD.size : end])
            at = end
        del rest[:at]


def _tell(stream: Stream, kind: int, amount: int, payload: bytes) -> None:
    if kind == _Kind.DATA:
        stream.hear_data(payload)
    elif kind == _Kind.CREDIT:
        stream.hear_credit(amount)
    elif kind == _Kind.END:
        stream.hear_end()
    else:
        stream.hear_break()


async def _until_broken(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(OSError):  # whoever runs the tunnel hears of it
        await work
