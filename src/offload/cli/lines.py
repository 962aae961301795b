"""Output of many tasks in one stream: lines stay whole, and on a terminal each says whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from offload.wire.frames import Frame, Stream

LONGEST: Final = 1 << 16
"""Bytes of one line, at most; a longer one is broken, so that memory stays bounded."""


class WholeLines:
    """Puts the frames of an array job together to whole lines, per task and stream.

    Args:
        prefix: whether each line begins with its task, ``[7] ``.
    """

    def __init__(self, *, prefix: bool) -> None:
        self._prefix = prefix
        self._rests: dict[tuple[int, Stream], tuple[int, bytes]] = {}

    def feed(self, frame: Frame) -> bytes:
        """The lines that this frame completes."""
        key = (frame.task, frame.stream)
        attempt, rest = self._rests.pop(key, (frame.attempt, b""))
        done = b""
        if attempt != frame.attempt:  # the attempt before was lost in the middle of a line
            done, rest = self._ended(frame.task, rest), b""
        *lines, rest = (rest + frame.data).split(b"\n")
        if len(rest) > LONGEST:
            lines.append(rest)
            rest = b""
        if rest:
            self._rests[key] = (frame.attempt, rest)
        return done + b"".join(self._whole(frame.task, line) for line in lines)

    def rest(self) -> Iterator[tuple[Stream, bytes]]:
        """What is left at the end, each unfinished line ended."""
        for (task, stream), (_, rest) in sorted(self._rests.items()):
            yield stream, self._ended(task, rest)
        self._rests.clear()

    def _ended(self, task: int, rest: bytes) -> bytes:
        return self._whole(task, rest) if rest else b""

    def _whole(self, task: int, line: bytes) -> bytes:
        return b"[%d] %b\n" % (task, line) if self._prefix else line + b"\n"
