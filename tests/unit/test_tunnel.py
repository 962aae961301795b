"""Streams in a tunnel arrive whole and in order, don't stand in each other's way, and end with the tunnel."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.wire.splice import echo, splice
from offload.wire.tunnel import PIECE, WINDOW, Purpose, StreamPipe, Tunnel, TunnelError


class Line:
    """One direction of a connection that cuts bytes anywhere and holds few of them."""

    def __init__(self, cut: int = 1 << 20) -> None:
        self.cut = cut
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(4)
        self.carried = 0

    async def send(self, data: bytes) -> None:
        self.carried += len(data)
        for at in range(0, len(data), self.cut):
            await self.queue.put(data[at : at + self.cut])


class End:
    def __init__(self, out: Line, back: Line) -> None:
        self.out, self.back = out, back
        self.send = out.send

    async def receive(self) -> bytes:
        return await self.back.queue.get()


@asynccontextmanager
async def tunnel(serve, *, cut: int = 1 << 20, **options):
    there, back = Line(cut), Line(cut)
    near = Tunnel(End(there, back), serve, dialled=True, **options)
    far = Tunnel(End(back, there), serve, dialled=False, **options)
    async with running(near, far):
        yield near, far


@asynccontextmanager
async def running(*ends: Tunnel):
    tasks = [asyncio.create_task(one.run()) for one in ends]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_all(stream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def send(stream, data: bytes) -> None:
    await stream.write(data)
    await stream.end()


async def back(stream, _purpose) -> None:
    await echo(stream)


@given(
    st.lists(st.lists(st.binary(max_size=300), max_size=5), min_size=1, max_size=6),
    st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_what_goes_in_comes_out_however_it_is_cut(streams, cut):
    async def one(near, parts) -> bytes:
        stream = await near.open(Purpose.ECHO)
        for part in parts:
            await stream.write(part)
        await stream.end()
        return await read_all(stream)

    async def run():
        async with tunnel(back, cut=cut) as (near, _), asyncio.timeout(20):
            return await asyncio.gather(*(one(near, parts) for parts in streams))

    assert asyncio.run(run()) == [b"".join(parts) for parts in streams]


async def test_both_ends_open_streams_at_once_and_more_than_a_window_goes_through():
    data = bytes(range(256)) * (3 * WINDOW // 256)

    async def one(end) -> bytes:
        stream = await end.open(Purpose.ECHO)
        writing = asyncio.create_task(send(stream, data))
        got = await read_all(stream)
        await writing
        return got

    async with tunnel(back) as (near, far), asyncio.timeout(20):
        assert await asyncio.gather(one(near), one(far)) == [data, data]


async def test_a_stream_that_nobody_reads_stops_itself_and_no_other():
    taken = asyncio.Event()

    async def serve(stream, purpose) -> None:
        if purpose == Purpose.ECHO:
            await echo(stream)
        else:
            await taken.wait()
            await read_all(stream)

    async with tunnel(serve) as (near, _), asyncio.timeout(20):
        stuck = await near.open(Purpose.RUNNER)
        writing = asyncio.create_task(send(stuck, bytes(2 * WINDOW)))
        free = await near.open(Purpose.ECHO)
        await send(free, b"hello")
        assert await read_all(free) == b"hello"
        assert not writing.done()
        taken.set()
        await writing


async def test_a_stream_that_is_broken_off_breaks_at_the_other_end():
    ends: asyncio.Queue[TunnelError] = asyncio.Queue()

    async def serve(stream, _) -> None:
        try:
            await read_all(stream)
        except TunnelError as error:
            ends.put_nowait(error)

    async with tunnel(serve) as (near, _), asyncio.timeout(20):
        stream = await near.open(Purpose.RUNNER)
        await stream.write(b"a part")
        await near.close(stream)
        assert "broken off" in str(await ends.get())
        with pytest.raises(TunnelError):
            await stream.write(b"more")


async def test_a_tunnel_that_ends_breaks_every_stream_and_every_question():
    async with tunnel(back) as (near, far), asyncio.timeout(20):
        stream = await near.open(Purpose.RUNNER)
        reading = asyncio.create_task(stream.read())
        await near.ping()
        await far._pipe.out.queue.put(b"")
        for waiting in (reading, near.open(Purpose.RUNNER), near.ping()):
            with pytest.raises(TunnelError):
                await waiting


async def test_silence_that_a_ping_does_not_break_is_the_end():
    silent = Tunnel(End(Line(), Line()), back, dialled=True, quiet=0.05, dead=0.2)
    with pytest.raises(TunnelError, match="Nothing was heard"):
        await silent.run()


async def test_pings_keep_an_idle_tunnel_alive():
    async with tunnel(back, quiet=0.05, dead=0.3) as (near, far):
        for _ in range(3):
            await asyncio.sleep(0.3)
        assert near._pipe.out.carried > 5
        assert far._pipe.out.carried > 5
        async with asyncio.timeout(5):
            assert await near.ping() < 5


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"\x09" + bytes(8), "no frame of kind 9"),
        (b"\x02" + (1).to_bytes(4, "big") + (PIECE + 1).to_bytes(4, "big"), "too large"),
        (b"\x01" + (2).to_bytes(4, "big") + bytes(4), "Stream 2 can't be opened"),
    ],
)
async def test_what_is_no_frame_ends_the_tunnel(frame, why):
    there, here = Line(), Line()
    near = Tunnel(End(there, here), back, dialled=True)
    await here.queue.put(frame)
    with pytest.raises(TunnelError, match=why):
        await near.run()


async def test_more_than_there_is_room_for_ends_the_tunnel():
    there, here = Line(), Line()

    async def never(_stream, _purpose) -> None:
        await asyncio.Event().wait()

    near = Tunnel(End(there, here), never, dialled=True)
    task = asyncio.create_task(near.run())
    await here.send(b"\x01" + (1).to_bytes(4, "big") + bytes(4))
    full = b"\x02" + (1).to_bytes(4, "big") + PIECE.to_bytes(4, "big") + bytes(PIECE)
    for _ in range(WINDOW // PIECE + 1):
        await here.send(full)
    with pytest.raises(TunnelError, match="room"):
        await task


async def test_a_real_connection_is_spliced_to_a_stream_and_its_halves_end_one_by_one():
    """A tunnel over TCP, and behind it a server that answers only once the client has ended its half."""

    async def answer(reader, writer) -> None:
        got = await reader.read()
        writer.write(got[::-1])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def serve(stream, _) -> None:
        await splice(stream, *await asyncio.open_connection("127.0.0.1", port))

    data = bytes(range(256)) * 20_000
    async with server, over_tcp(serve) as (near, _), asyncio.timeout(20):
        stream = await near.open(Purpose.RUNNER)
        writing = asyncio.create_task(send(stream, data))
        assert await read_all(stream) == data[::-1]
        await writing


@asynccontextmanager
async def over_tcp(serve):
    arrived = asyncio.get_running_loop().create_future()
    listening = await asyncio.start_server(
        lambda reader, writer: arrived.set_result((reader, writer)), "127.0.0.1", 0
    )
    dialled = await asyncio.open_connection(*listening.sockets[0].getsockname())
    accepted = await arrived
    near = Tunnel(StreamPipe(*dialled), serve, dialled=True)
    far = Tunnel(StreamPipe(*accepted), serve, dialled=False)
    async with running(near, far):
        yield near, far
    for _, writer in (dialled, accepted):
        writer.close()
        await writer.wait_closed()
    listening.close()
