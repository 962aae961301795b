"""Parameters: what makes the tasks of one job differ from each other.

A grid is the product of its axes, and its values are computed from a task's position: a million tasks are a
few numbers. A table is one row a task; it may be large, so it lies with the launcher as a manifest of parts
(:mod:`offload.wire.tables`) and this value only names it. The values of the task with index ``i`` are those
at position ``i - 1``, so a job of some of another job's tasks says the same about each of them.

Every value is text. A task sees ``OFFLOAD_PARAM_<NAME>``, and its arguments with ``{name}`` replaced.
``{{name}}`` stands for the text ``{name}``, and the shell's ``${name}`` is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

ENV_PREFIX: Final = "OFFLOAD_PARAM_"
RESERVED: Final = (
    *("job", "task", "tasks", "attempt", "attempts", "state", "reason", "sentence", "exit_status"),
    *("started", "ended", "wall", "cpu", "peak_memory", "memory_limit"),
)
"""What results and tables already call by these names."""
MAX_NAME: Final = 100
MAX_VALUE: Final = 100_000
"""Bytes of one value; Linux takes 131,072 for one variable."""
LARGEST: Final = 10**18
"""Of the numbers of a range."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MENTION: Final = re.compile(r"(?<!\$)(?:\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One parameter of a grid; either ``values`` or ``ranges`` has something in it.

    Attributes:
        name: of the parameter.
        values: each as text.
        ranges: (first, last, step) of whole numbers, last included; a negative step counts down.
    """

    name: str
    values: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.values) + sum(map(len, map(numbers_of, self.ranges)))

    def value(self, number: int) -> str:
        """The value with this number, from 0."""
        if self.values:
            return self.values[number]
        for part in map(numbers_of, self.ranges):
            if number < len(part):
                return str(part[number])
            number -= len(part)
        raise IndexError(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One row a task.

    Attributes:
        digest: of the manifest that names its parts.
        columns: names of the parameters, in the order of the values of a row.
        rows: how many.
        files: digest of the manifest of the files that the tasks work on, one each; None for a plain table.
    """

    digest: str
    columns: tuple[str, ...]
    rows: int
    files: str | None = None

    def values_of(self, row: Sequence[str]) -> dict[str, str]:
        """The values of a row by name; what follows them in it is about the task's file."""
        return dict(zip(self.columns, row, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Those of a job: a grid or a table.

    Attributes:
        grid: axes; the first one varies slowest. Empty for a table.
        table: None for a grid.
        appended: whether the command gets ``--name value`` for each parameter at its end, or the path for a
            file, because no argument mentions any.
    """

    grid: tuple[Axis, ...] = ()
    table: Table | None = None
    appended: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order in which they are shown."""
        return self.table.columns if self.table else tuple(axis.name for axis in self.grid)

    @property
    def count(self) -> int:
        """How many tasks they make; possibly more than there can be."""
        return self.table.rows if self.table else prod(map(len, self.grid))

    def values_of(self, position: int) -> dict[str, str]:
        """The values of a grid at a position from 0; computed, whatever its size."""
        return next(self.values_at([position]))

    def values_at(self, positions: Iterable[int]) -> Iterator[dict[str, str]]:
        """The same of many positions."""
        names, axes = self.names, [(axis, len(axis)) for axis in reversed(self.grid)]
        for position in positions:
            left, values = position, list[str]()
            for axis, length in axes:
                left, number = divmod(left, length)
                values.append(axis.value(number))
            yield dict(zip(names, reversed(values), strict=True))

    def command_of(self, command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
        """The argv of the task with these values."""
        filled = tuple(fill(word, values) for word in command)
        if not self.appended:
            return filled
        if self.table and self.table.files:
            return (*filled, *values.values())
        return (*filled, *(word for name, value in values.items() for word in (f"--{name}", value)))


def is_sound(axis: Axis) -> bool:
    """Whether an axis has values, and of one kind."""
    sound = all(part[2] and max(map(abs, part)) <= LARGEST for part in axis.ranges)
    return sound and bool(axis.values) != bool(axis.ranges) and len(axis) > 0


def numbers_of(part: tuple[int, int, int]) -> range:
    """The numbers of a range whose last one is included."""
    first, last, step = part
    return range(first, last + (1 if step > 0 else -1), step)


def variable_of(name: str) -> str:
    """The variable in which a task sees a parameter."""
    return ENV_PREFIX + name.upper()


def fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with ``{name}`` replaced; a name that isn't there stays as it is."""

    def one(match: re.Match[str]) -> str:
        return f"{{{match[1]}}}" if match[1] else values.get(match[2], match[0])

    return _MENTION.sub(one, text)


def mentioned(text: str) -> list[str]:
    """The names that stand in ``text`` as ``{name}``."""
    return [match[2] for match in _MENTION.finditer(text) if match[2]]


def pieces(text: str) -> list[str]:
    """``text`` in turns as it stands and as a name that it mentions; it begins and ends as it stands."""
    found, at = [""], 0
    for match in _MENTION.finditer(text):
        found[-1] += text[at : match.start()] + (f"{{{match[1]}}}" if match[1] else "")
        found += [match[2], ""] if match[2] else []
        at = match.end()
    found[-1] += text[at:]
    return found


def uses_any(command: Iterable[str], names: Iterable[str]) -> bool:
    """Whether any argument mentions any of the parameters, as ``{name}`` or by its variable."""
    known, words = set(names), list(command)
    if any(not known.isdisjoint(mentioned(word)) for word in words):
        return True
    return any(variable_of(name) in word for name in known for word in words)


def name_mistakes(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of parameters, a sentence each."""
    wrong = [mistake for name in names if (mistake := _name_mistake(name))]
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.upper(), name)
        if first is not name and first != name:
            wrong.append(f"{first!r} and {name!r} would both be {variable_of(name)}.")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    return wrong + [f"The parameter {name!r} is given more than once." for name in twice]


def _name_mistake(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        return f"{name!r} can't be the name of a parameter: letters, digits and _ can, a digit not first."
    if name.lower() in RESERVED:
        return f"{name!r} is reserved: tables and results call something else so."
    return ""
