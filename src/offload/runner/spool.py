"""Output between the script and the launcher: a bounded queue of log frames on disk.

The pump appends, the sender reads batches and acknowledges what the launcher keeps. Segments are removed
once they are acknowledged. When too much is waiting (the launcher is away, or slower than the script),
``append`` blocks, and so the script does at its next write: output is never lost and the disk never fills
without end.

A script may fill the disk itself and then say so. Nobody would free that space while its last words wait to
be kept, so room for one frame is set aside before it starts: on a full disk output still gets through. It may
be left for the next attempt.

The spool belongs to one attempt of one runner process and is not synced to disk: if the runner dies, so
does the attempt.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from offload.errors import is_disk_full
from offload.wire.frames import HEADER_SIZE, MAX_PAYLOAD, Frame, Stream

SEGMENT: Final = 8 << 20
BOUND: Final = 256 << 20
"""Bytes that may wait for the launcher before the script has to."""
BATCH: Final = 1 << 20
_LOOK_AGAIN: Final = 0.5
"""Seconds after which a full disk is tried again."""
_SEQ: Final = struct.Struct("<Q")
_LENGTH: Final = struct.Struct("<I")


@dataclass(slots=True, eq=False)
class _Segment:
    path: Path
    fd: int
    size: int = 0
    read: int = 0  # everything before this offset is acknowledged

    @property
    def is_done(self) -> bool:
        return self.read == self.size


@dataclass(slots=True)
class Spool:
    """Frames of one attempt, numbered as they come.

    Attributes:
        directory: holds the segments; made when absent.
        reserve: the file that is set aside and left; None makes one and removes it.
        task: index of the task, for the frames' headers.
        attempt: number of the attempt, likewise.
        bytes_in: all bytes ever appended, headers included.
    """

    directory: Path
    task: int
    attempt: int
    reserve: Path | None = None
    bound: int = BOUND
    segment: int = SEGMENT
    bytes_in: int = 0
    _segments: deque[_Segment] = field(default_factory=deque)
    _reserve: _Segment | None = None
    _made: int = 0
    _seq: int = 0
    _sealed: bool = False
    _abandoned: bool = False
    _full: bool = False
    _tell: Callable[[], None] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def open(self) -> None:
        """Set aside what is needed on a full disk; raises ``OSError`` when there isn't even that."""
        if self._reserve is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        reserve = _new_segment(self.reserve or self.directory / "reserve")
        try:
            os.posix_fallocate(reserve.fd, 0, MAX_PAYLOAD + HEADER_SIZE)
        except OSError:
            _remove(reserve)
            raise
        self._reserve = reserve

    @property
    def is_open(self) -> bool:
        """Whether appending works on a full disk, too."""
        return self._reserve is not None

    def when_appended(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` after each frame, while nobody else can append or take any."""
        self._tell = tell

    def append(self, stream: Stream, data: bytes) -> None:
        """Add one frame; blocks while the spool or the disk is full. ``data`` fits into a frame."""
        was_full = self._full
        with self._changed:
            while not self._try_append(stream, data):
                self._full = True
                self._changed.wait(_LOOK_AGAIN)
        if self._full and not was_full:
            self.append(Stream.NOTICE, b"The cluster's disk was full, so the script's output had to wait.")

    def _try_append(self, stream: Stream, data: bytes) -> bool:
        """Whether there was room, or nobody wants it."""
        self._changed.wait_for(lambda: self._abandoned or self.waiting < self.bound)
        if self._abandoned:
            return True
        raw = Frame(stream, self.attempt, self.task, self._seq, time.time_ns() // 1000, data).encode()
        if not (self._put(raw, self._tail) or self._put(raw, self._spare)):
            return False
        self.bytes_in += len(raw)
        self._seq += 1
        self._changed.notify_all()
        if self._tell:
            self._tell()
        return True

    def _put(self, raw: bytes, find: Callable[[], _Segment | None]) -> bool:
        try:
            segment = find()
            if segment is None:
                return False
            _write_at(segment.fd, raw, segment.size)
        except OSError as error:
            if is_disk_full(error):
                return False
            raise
        segment.size += len(raw)
        return True

    def _tail(self) -> _Segment:
        if not self._segments or self._segments[-1].size >= self.segment:
            self._segments.append(_new_segment(self.directory / f"{self._made:08d}"))
            self._made += 1
        return self._segments[-1]

    def _spare(self) -> _Segment | None:
        """The reserve, unless the launcher doesn't have all of it yet."""
        if self._reserve is None or self._reserve in self._segments:
            return None
        self._segments.append(self._reserve)
        return self._reserve

    @property
    def waiting(self) -> int:
        """Bytes that the launcher doesn't have yet."""
        return sum(segment.size - segment.read for segment in self._segments)

    def seal(self) -> None:
        """There will be no more frames; ``batch`` ends once all are acknowledged."""
        with self._changed:
            self._sealed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nobody wants the frames any more: writers and readers go on at once, and the files are removed."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            if self._reserve is not None and self._reserve not in self._segments:
                self._segments.append(self._reserve)
            while self._segments:
                segment = self._segments.popleft()
                if segment is self._reserve and self.reserve:
                    os.close(segment.fd)
                else:
                    _remove(segment)
            self._reserve = None

    def batch(self, limit: int = BATCH) -> bytes | None:
        """Whole frames after the acknowledged ones, about ``limit`` bytes; blocks until there is one.

        Returns None when there is nothing more to send: all is acknowledged, or abandoned.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self.waiting or self._sealed)
            segment = next((one for one in self._segments if one.size > one.read), None)
            if self._abandoned or segment is None:
                return None
            size = min(segment.size - segment.read, max(limit, HEADER_SIZE))
            raw = os.pread(segment.fd, size, segment.read)
            whole = _whole_frames(raw)
            if whole:
                return raw[:whole]
            return os.pread(segment.fd, HEADER_SIZE + _LENGTH.unpack_from(raw, 24)[0], segment.read)

    def rest(self, limit: int) -> bytes | None:
        """All frames after the acknowledged ones; None when they are more than ``limit`` bytes."""
        with self._changed:
            if self.waiting > limit:
                return None
            return b"".join(os.pread(one.fd, one.size - one.read, one.read) for one in self._segments)

    def acknowledge(self, next_seq: int) -> None:
        """The launcher keeps every frame below ``next_seq``."""
        with self._changed:
            for segment in self._segments:
                segment.read += _before(segment, next_seq)
                if segment.read < segment.size:
                    break
            while len(self._segments) > 1 and self._segments[0].is_done:
                self._retire(self._segments.popleft())
            if self._segments and self._segments[0] is self._reserve and self._reserve.is_done:
                self._retire(self._segments.popleft())
            self._changed.notify_all()

    def _retire(self, segment: _Segment) -> None:
        if segment is self._reserve:
            segment.size = segment.read = 0
        else:
            _remove(segment)


def _new_segment(path: Path) -> _Segment:
    return _Segment(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _write_at(fd: int, raw: bytes, offset: int) -> None:
    # A short write happens when the disk fills up; the next call says so. What it left is overwritten.
    done = 0
    while done < len(raw):
        done += os.pwrite(fd, raw[done:], offset + done)


def _whole_frames(raw: bytes) -> int:
    at = 0
    while at + HEADER_SIZE <= len(raw):
        end = at + HEADER_SIZE + _LENGTH.unpack_from(raw, at + 24)[0]
        if end > len(raw):
            break
        at = end
    return at


def _before(segment: _Segment, next_seq: int) -> int:
    """Bytes of the frames after the read position whose seq is below ``next_seq``."""
    at = segment.read
    while at < segment.size:
        header = os.pread(segment.fd, HEADER_SIZE, at)
        if _SEQ.unpack_from(header, 8)[0] >= next_seq:
            break
        at += HEADER_SIZE + _LENGTH.unpack_from(header, 24)[0]
    return at - segment.read


def _remove(segment: _Segment) -> None:
    os.close(segment.fd)
    with contextlib.suppress(FileNotFoundError):
        segment.path.unlink()
