"""Log frames: a binary-safe stream of what tasks printed.

A frame is a 28-byte header and its bytes. Header, little-endian: magic ``0xF5``, stream (0 ping, 1 stdout,
2 stderr, 3 notice), attempt (u16), task (u32), seq (u64), time (u64, microseconds since the epoch),
length (u32). ``seq`` counts the frames of one attempt from 0, both streams together, so a frame that is
sent twice is recognised. A notice is a sentence of Offload about the attempt; it is not the script's output.
A ping is empty, belongs to no attempt, is never stored and doesn't count: it keeps a quiet connection alive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from offload.errors import ProtocolError

_HEADER: Final = struct.Struct("<BBHIQQI")
HEADER_SIZE: Final = _HEADER.size
_MAGIC: Final = 0xF5
FRAMES_TYPE: Final = "application/vnd.offload.frames"
MAX_PAYLOAD: Final = 1 << 20
"""Bytes of one frame, at most."""


class Stream(IntEnum):
    """Where bytes came from."""

    PING = 0
    STDOUT = 1
    STDERR = 2
    NOTICE = 3


_STREAMS: Final = frozenset(Stream)


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of output of one attempt; ``time`` in microseconds since the epoch."""

    stream: Stream
    attempt: int
    task: int
    seq: int
    time: int
    data: bytes

    def encode(self) -> bytes:
        """Header and bytes."""
        return (
            _HEADER.pack(_MAGIC, self.stream, self.attempt, self.task, self.seq, self.time, len(self.data))
            + self.data
        )

    @property
    def size(self) -> int:
        """Bytes when encoded."""
        return HEADER_SIZE + len(self.data)


def decode_header(header: bytes) -> tuple[Frame, int]:
    """A frame without its bytes, and how many bytes follow.

    Raises:
        ProtocolError: this is not the start of a frame.
    """
    magic, stream, attempt, task, seq, time, length = _HEADER.unpack_from(header)
    if magic != _MAGIC or length > MAX_PAYLOAD or stream not in (0, 1, 2, 3):
        raise ProtocolError("This is not a log frame.")
    return Frame(Stream(stream), attempt, task, seq, time, b""), length


class Span(NamedTuple):
    """Where a whole frame lies in some bytes, and what its head says."""

    stream: int
    attempt: int
    task: int
    seq: int
    start: int
    end: int


def spans(data: bytes) -> Iterator[Span]:
    """The whole frames at the start of ``data``; a frame that is cut short at its end is left out.

    Raises:
        ProtocolError: what follows the frames so far is not one.
    """
    at, size = 0, len(data)
    while at + HEADER_SIZE <= size:
        magic, stream, attempt, task, seq, _, length = _HEADER.unpack_from(data, at)
        if magic != _MAGIC or length > MAX_PAYLOAD or stream not in _STREAMS:
            raise ProtocolError("This is not a log frame.")
        end = at + HEADER_SIZE + length
        if end > size:
            return
        yield Span(stream, attempt, task, seq, at, end)
        at = end


def decode_frames(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """Frames of a byte stream that may be cut anywhere; an incomplete last frame is left out.

    Raises:
        ProtocolError: the stream is not made of frames.
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        at = 0
        while len(buffer) - at >= HEADER_SIZE:
            head, length = decode_header(bytes(buffer[at : at + HEADER_SIZE]))
            end = at + HEADER_SIZE + length
            if len(buffer) < end:
                break
            data = bytes(buffer[at + HEADER_SIZE : end])
            yield Frame(head.stream, head.attempt, head.task, head.seq, head.time, data)
            at = end
        del buffer[:at]
