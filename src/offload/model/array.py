"""The indices of a job's tasks: ``1-20``, ``0-99:10``, ``1,3,5-9``.

Kept as the ranges that were written, so that a large array is a short value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from offload.errors import UsageError

MAX_TASKS: Final = 100_000
"""Tasks of one job; an array beyond that is refused rather than served slowly."""
_PART: Final = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_SYNTAX: Final = "Write it like 1-20, 0-99:10 or 1,3,5-9."


@dataclass(frozen=True, slots=True)
class Array:
    """Task indices in the order they were written; ``ranges`` are (first, last, step), last included."""

    ranges: tuple[tuple[int, int, int], ...] = ((1, 1, 1),)

    def __iter__(self) -> Iterator[int]:
        for first, last, step in self.ranges:
            yield from range(first, last + 1, step)

    def __len__(self) -> int:
        return sum(len(range(first, last + 1, step)) for first, last, step in self.ranges)

    def __str__(self) -> str:
        return ",".join(_text(*part) for part in self.ranges)


def _text(first: int, last: int, step: int) -> str:
    if first == last:
        return str(first)
    return f"{first}-{last}" if step == 1 else f"{first}-{last}:{step}"


def _refuse(text: str, at: int, width: int, why: str) -> UsageError:
    caret = " " * at + "^" * max(width, 1)
    return UsageError(f"The array range is not valid: {why}\n  {text}\n  {caret}", next_step=_SYNTAX)


def parse_array(text: str) -> Array:
    """The array that ``text`` denotes.

    Raises:
        UsageError: bad syntax (with a caret under it), an empty range, an index twice, or too many tasks.
    """
    ranges: list[tuple[int, int, int]] = []
    at = 0
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise _refuse(text, at, len(part), "this is no index and no range.")
        first = int(match[1])
        last, step = int(match[2] or first), int(match[3] or 1)
        if last < first or step == 0:
            raise _refuse(text, at, len(part), "this range is empty." if step else "a step of 0 never ends.")
        ranges.append((first, last, step))
        at += len(part) + 1
    array = Array(tuple(ranges))
    if len(array) > MAX_TASKS:
        raise _refuse(text, 0, len(text), f"{len(array)} tasks are more than the {MAX_TASKS} of one job.")
    if len(set(array)) != len(array):
        raise _refuse(text, 0, len(text), "an index appears twice.")
    return array
