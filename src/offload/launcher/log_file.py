"""One job's log on disk: frames in the order in which they arrived, only ever appended to.

What is in the file is the whole truth. How far an attempt's output is kept is found by walking the file
once; a frame that a crash cut short is cut off then. It is kept in mind for attempts that go on: of a million
that have ended nobody sends any more. An append is one write, and one that fails is taken back, so the file
always ends with a whole frame. Nothing here keeps a file open between two calls.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from offload.errors import DiskFullError, ProtocolError, disk_full
from offload.wire.frames import HEADER_SIZE, MAX_PAYLOAD, Span, Stream, spans

_log = logging.getLogger(__name__)
_BLOCK: Final = MAX_PAYLOAD + HEADER_SIZE
"""Bytes read at a time: the largest frame fits."""
_MANY: Final = 4096
"""Attempts in mind, after which it is worth while to look which of them have ended."""


@dataclass(slots=True)
class LogFile:
    """A job's log, as far as it is kept.

    Attributes:
        path: of the file, which need not exist.
        size: bytes of whole frames.
        next_seq: by (task, attempt): every frame below is kept.
    """

    path: Path
    size: int = 0
    next_seq: dict[tuple[int, int], int] = field(default_factory=dict)
    _many: int = _MANY

    @classmethod
    def open(cls, path: Path, attempts: Container[tuple[int, int]]) -> LogFile:
        """Find out what is kept of these attempts; cut off a last frame that isn't whole."""
        found = cls(path)
        for span, end in walk(path):
            if (key := (span.task, span.attempt)) in attempts:
                found.next_seq[key] = span.seq + 1
            found.size = end
        if path.exists() and (torn := path.stat().st_size - found.size):
            _log.warning("Cut %d bytes of a torn frame off %s.", torn, path, extra={"action": "cut"})
            os.truncate(path, found.size)
        return found

    @property
    def has_many(self) -> bool:
        """Whether so many attempts are in mind that most of them must have ended."""
        return len(self.next_seq) > self._many

    def forget_all_but(self, attempts: Container[tuple[int, int]]) -> None:
        """Nobody sends frames of any others."""
        self.next_seq = {key: seq for key, seq in self.next_seq.items() if key in attempts}
        self._many = max(_MANY, 2 * len(self.next_seq))

    def append(self, task: int, attempt: int, data: bytes) -> int:
        """Keep the frames of an attempt that aren't kept yet, up to a gap; how many bytes were looked at.

        What isn't looked at is a frame that is cut short, or comes after frames that were never sent.

        Raises:
            ProtocolError: these are no frames, or frames of another attempt.
            DiskFullError: there is no space; nothing of them is kept.
        """
        seq = self.next_seq.get((task, attempt), 0)
        kept: list[bytes] = []
        at = 0
        for span in _spans_of(task, attempt, data):
            if span.stream != Stream.PING:
                if span.seq > seq:
                    break
                if span.seq == seq:
                    kept.append(data[span.start : span.end])
                    seq += 1
            at = span.end
        self._write(b"".join(kept))
        self.next_seq[task, attempt] = seq
        return at

    def append_ends(self, ends: Mapping[tuple[int, int], bytes]) -> set[tuple[int, int]]:
        """Keep the last frames of some attempts, by (task, attempt); of which all are kept now.

        A gap before them stays: what a crash of the machine took from the end of the file comes no more.
        On a full disk some find room, and others don't.

        Raises:
            ProtocolError: these are no frames, or frames of another attempt; nothing of them is kept.
        """
        fresh = {key: self._fresh(*key, data) for key, data in ends.items()}
        try:
            self._write(b"".join(frames for frames, _ in fresh.values()))
            kept = set(fresh)
        except DiskFullError:
            kept = {key for key, (frames, _) in fresh.items() if self._fits(frames)}
        self.next_seq |= {key: seq for key, (_, seq) in fresh.items() if key in kept}
        return kept

    def _fresh(self, task: int, attempt: int, data: bytes) -> tuple[bytes, int]:
        """The frames that aren't kept, and the number after the last one."""
        seq = self.next_seq.get((task, attempt), 0)
        frames: list[bytes] = []
        for span in _spans_of(task, attempt, data):
            if span.stream != Stream.PING and span.seq >= seq:
                frames.append(data[span.start : span.end])
                seq = span.seq + 1
        return b"".join(frames), seq

    def _fits(self, frames: bytes) -> bool:
        try:
            self._write(frames)
        except DiskFullError:
            return False
        return True

    def _write(self, data: bytes) -> None:
        if not data:
            return
        with disk_full(
            "The launcher has no space left for what the job prints.",
            "Free space on the disk of the launcher; the output waits and goes on by itself.",
        ):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                self._write_all(descriptor, data)
            finally:
                os.close(descriptor)
        self.size += len(data)

    def _write_all(self, descriptor: int, data: bytes) -> None:
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
        except OSError:
            os.ftruncate(descriptor, self.size)
            raise


def _spans_of(task: int, attempt: int, data: bytes) -> Iterator[Span]:
    for span in spans(data):
        if span.stream != Stream.PING and (span.task, span.attempt) != (task, attempt):
            raise ProtocolError("A log frame belongs to another attempt than the lease.")
        yield span


def walk(path: Path) -> Iterator[tuple[Span, int]]:
    """All whole frames of a file, and at which byte each ends; stops at what is no frame."""
    at = 0
    with contextlib.suppress(ProtocolError, FileNotFoundError):
        size = path.stat().st_size
        while block := read_frames(path, at, size):
            for span in spans(block):
                yield span, at + span.end
            at += len(block)


def read_frames(path: Path, at: int, limit: int) -> bytes:
    """Whole frames from a byte position on, about a megabyte; empty when there are none (yet).

    Args:
        path: the file, which need not exist.
        at: a position between two frames.
        limit: the position up to which the file may be read.

    Raises:
        ProtocolError: there is no frame at this position.
    """
    room = min(_BLOCK, limit - at)
    if room <= 0:
        return b""
    try:
        with open(path, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), room, at)
    except FileNotFoundError:
        return b""
    return data[: _whole(data)]


def only(data: bytes, task: int) -> bytes:
    """The frames of one task."""
    return b"".join(data[span.start : span.end] for span in spans(data) if span.task == task)


def last(data: bytes, size: int) -> bytes:
    """The last frames of whole ones that are at most ``size`` bytes together, and one in any case."""
    starts = [span.start for span in spans(data)]
    return (
        data[next((start for start in starts if len(data) - start <= size), starts[-1]) :] if starts else b""
    )


def _whole(data: bytes) -> int:
    end = 0
    try:
        for span in spans(data):
            end = span.end
    except ProtocolError:
        if not end:
            raise
    return end
