"""What ``--grid`` takes: ``lr=0.1,0.01``, ``seed=1:100``, ``n=10:100:10``.

An axis of nothing but whole numbers and ranges stays as short as it was written.
"""

from __future__ import annotations

import re
from typing import Final

from offload.errors import UsageError
from offload.model.array import MAX_TASKS, pointed
from offload.model.parameters import MAX_VALUE, Axis, name_mistakes, numbers_of

_RANGE: Final = re.compile(r"(-?\d{1,18}):(-?\d{1,18})(?::(-?\d{1,18}))?")
_NUMBER: Final = r"\s*(?:[-+]?[\d.]+(?:e[-+]?\d+)?)?\s*"
_NUMBERS: Final = re.compile(rf"(?=.*\d){_NUMBER}(?::{_NUMBER})+", re.IGNORECASE)
_NO_RANGE: Final = "a range is of whole numbers, first:last or first:last:step; --params takes any text."
_WHOLE: Final = re.compile(r"0|-?[1-9]\d{0,17}")
SYNTAX: Final = "Write it like lr=0.1,0.01 or seed=1:100 or n=10:100:10."


def parse_axis(text: str) -> Axis:
    """The axis that ``text`` denotes.

    Raises:
        UsageError: every mistake in it, each with a caret under it.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        raise _refuse([(0, len(text), "it has no `=` between the parameter and its values.")], text)
    mistakes = [(0, len(name), sentence) for sentence in name_mistakes([name])]
    parts: list[str | tuple[int, int, int]] = []
    at = len(name) + 1
    for item in rest.split(","):
        part, why = _part(item)
        if why:
            mistakes.append((at, len(item), why))
        parts.append(part)
        at += len(item) + 1
    if not mistakes:
        axis = _axis(name, parts)
        if isinstance(axis, Axis):
            return axis
        mistakes = [(len(name) + 1, len(rest), axis)]
    raise _refuse(mistakes, text)


def _part(item: str) -> tuple[str | tuple[int, int, int], str]:
    """A value or a range, and what is wrong with it."""
    if not item:
        return item, "here is no value."
    if len(item.encode("utf-8", "replace")) > MAX_VALUE:
        return item, f"this value is larger than {MAX_VALUE:,} bytes."
    match = _RANGE.fullmatch(item)
    if not match:
        wrong = _NUMBERS.fullmatch(item)
        return item, _NO_RANGE if wrong else ""
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step == 0:
        return item, "a step of 0 never ends."
    if (last - first) * step < 0:
        hint = "" if match[3] else f"; to count down, write {first}:{last}:-1"
        return item, f"this range is empty{hint}."
    return (first, last, step), ""


def _axis(name: str, parts: list[str | tuple[int, int, int]]) -> Axis | str:
    """The axis, or what is wrong with it as a whole."""
    whole = all(isinstance(part, tuple) or _WHOLE.fullmatch(part) for part in parts)
    if whole and any(isinstance(part, tuple) for part in parts):
        ranges = tuple(part if isinstance(part, tuple) else (int(part), int(part), 1) for part in parts)
        axis = Axis(name=name, ranges=ranges)
    else:
        axis = Axis(name=name, values=tuple(value for part in parts for value in _values(part)))
    count = len(axis.values) + sum(map(len, map(numbers_of, axis.ranges)))  # may be too large for len()
    if count > MAX_TASKS:
        return f"{count:,} values are more than the {MAX_TASKS:,} tasks of one job."
    if len(parts) > 1 and len({axis.value(number) for number in range(len(axis))}) < len(axis):
        return "a value appears twice."
    return axis


def _values(part: str | tuple[int, int, int]) -> list[str]:
    return [part] if isinstance(part, str) else [str(number) for number in numbers_of(part)[: MAX_TASKS + 1]]


def _refuse(mistakes: list[tuple[int, int, str]], text: str) -> UsageError:
    return UsageError(f"The grid is not valid: {pointed(mistakes, text)}", next_step=SYNTAX)
