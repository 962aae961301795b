"""A connection and a stream of a tunnel as if they were one."""

from __future__ import annotations

import asyncio

from offload.wire.tunnel import PIECE, Stream


async def splice(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until both have ended; what breaks on one side breaks on the other, too."""
    ways = [
        asyncio.ensure_future(_to_stream(reader, stream)),
        asyncio.ensure_future(_from_stream(stream, writer)),
    ]
    try:
        await asyncio.gather(*ways)
    except OSError:
        writer.transport.abort()
    finally:
        writer.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def echo(stream: Stream) -> None:
    """Send everything back."""
    while data := await stream.read():
        await stream.write(data)
    await stream.end()


async def _to_stream(reader: asyncio.StreamReader, stream: Stream) -> None:
    while data := await reader.read(PIECE):
        await stream.write(data)
    await stream.end()


async def _from_stream(stream: Stream, writer: asyncio.StreamWriter) -> None:
    while data := await stream.read():
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
