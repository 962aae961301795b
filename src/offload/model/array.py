"""The indices of a job's tasks: ``1-20``, ``0-99:10``, ``1,3,5-9``.

Kept as the ranges that were written, so that an array is a short value however many tasks it has. Whatever is
asked of it costs as much as it has ranges, never as much as it has tasks: which index stands at a position,
whether an index is one of them, and which come next.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import Final

from offload.errors import UsageError

MAX_TASKS: Final = 1_000_000
"""Tasks of one job. Its table, log and results are one person's to look through, and every task that has
begun is a row of the store while the job is listed; what needs more is better cut into several jobs."""
_PART: Final = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?::(\d{1,18}))?)?")
_SYNTAX: Final = "Write it like 1-20, 0-99:10 or 1,3,5-9."


@dataclass(frozen=True, slots=True)
class Array:
    """Task indices in the order they were written; ``ranges`` are (first, last, step), last included."""

    ranges: tuple[tuple[int, int, int], ...] = ((1, 1, 1),)

    @classmethod
    def of(cls, indices: Iterable[int]) -> Array:
        """The array of these indices, ascending, in as few ranges as one pass finds."""
        ranges: list[tuple[int, int, int]] = []
        for index in sorted(set(indices)):
            if ranges:
                first, last, step = ranges[-1]
                if first == last or index == last + step:  # two are a range of any step, if a third follows
                    ranges[-1] = (first, index, index - last)
                    continue
            ranges.append((index, index, 1))
        return cls(tuple(one for part in ranges for one in _settled(*part)))

    def __iter__(self) -> Iterator[int]:
        for part in self._parts():
            yield from part

    def __len__(self) -> int:
        return sum(map(len, self._parts()))

    def __contains__(self, index: object) -> bool:
        return any(index in part for part in self._parts())

    def __str__(self) -> str:
        return ",".join(_text(*part) for part in self.ranges)

    def _parts(self) -> Iterator[range]:
        return (range(first, last + 1, step) for first, last, step in self.ranges)

    def between(self, begin: int, end: int) -> list[int]:
        """The indices at the positions from ``begin`` to before ``end``, counted from 0."""
        found: list[int] = []
        for part in self._parts():
            found += part[max(begin, 0) : max(end, 0)]
            begin, end = begin - len(part), end - len(part)
            if end <= 0:
                break
        return found

    def since(self, position: int) -> Array:
        """What is left of the array from a position on; it may be empty."""
        left: list[tuple[int, int, int]] = []
        for part in self._parts():
            if rest := part[max(position, 0) :]:
                left.append((rest[0], rest[-1], rest.step))
            position -= len(part)
        return Array(tuple(left))

    def above(self, index: int | None) -> Iterator[int]:
        """The indices above one (None: all of them), smallest first."""
        parts = self._parts() if index is None else (_above(part, index) for part in self._parts())
        return heapq.merge(*parts)

    def has_duplicates(self) -> bool:
        """Whether an index appears twice."""
        if len(self.ranges) ** 2 <= len(self):
            return any(_meet(one, other) for one, other in combinations(self._parts(), 2))
        return len(set(self)) != len(self)  # many short ranges: comparing each with each would take longer


def _settled(first: int, last: int, step: int) -> list[tuple[int, int, int]]:
    """The range as it is, but two indices that don't follow one another as two of them."""
    if last == first + step and step > 1:
        return [(first, first, 1), (last, last, 1)]
    return [(first, last, step)]


def _above(part: range, index: int) -> range:
    return part[max(0, (index - part.start) // part.step + 1) :]


def _meet(one: range, other: range) -> bool:
    """Whether two ranges have an index in common: one of both congruences, between the ends of both."""
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    shared = gcd(one.step, other.step)
    if low > high or (other.start - one.start) % shared:
        return False
    steps = other.step // shared
    inverse = pow(one.step // shared, -1, steps)
    common = one.start + one.step * ((other.start - one.start) // shared * inverse % steps)
    return low + (common - low) % (one.step * steps) <= high


def _text(first: int, last: int, step: int) -> str:
    if first == last:
        return str(first)
    return f"{first}-{last}" if step == 1 else f"{first}-{last}:{step}"


def pointed(mistakes: Iterable[tuple[int, int, str]], text: str) -> str:
    """Mistakes in a text, each with carets under where it stands; they are (position, width, sentence)."""
    return "\n".join(f"{why}\n  {text}\n  {' ' * at}{'^' * max(width, 1)}" for at, width, why in mistakes)


def parse_array(text: str) -> Array:
    """The array that ``text`` denotes.

    Raises:
        UsageError: bad syntax, an empty range, an index twice, or too many tasks; every mistake has a caret.
    """
    ranges: list[tuple[int, int, int]] = []
    mistakes: list[tuple[int, int, str]] = []
    at = 0
    for part in text.split(","):
        found = _range_of(part)
        if isinstance(found, str):
            mistakes.append((at, len(part), found))
        else:
            ranges.append(found)
        at += len(part) + 1
    array = Array(tuple(ranges))
    if not mistakes and (why := _mistake_of(array)):
        mistakes.append((0, len(text), why))
    if mistakes:
        raise UsageError(f"The array range is not valid: {pointed(mistakes, text)}", next_step=_SYNTAX)
    return array


def _range_of(part: str) -> tuple[int, int, int] | str:
    """A range, or what is wrong with it."""
    match = _PART.fullmatch(part)
    if not match:
        return "this is no index and no range."
    first = int(match[1])
    last, step = int(match[2] or first), int(match[3] or 1)
    if step == 0:
        return "a step of 0 never ends."
    return (first, last, step) if first <= last else "this range is empty."


def _mistake_of(array: Array) -> str:
    """What is wrong with an array as a whole."""
    total = sum(
        (last - first) // step + 1 for first, last, step in array.ranges
    )  # may be too large for len()
    if total > MAX_TASKS:
        return f"{total:,} tasks are more than the {MAX_TASKS:,} of one job."
    return "an index appears twice." if array.has_duplicates() else ""
