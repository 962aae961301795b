"""Whether a pattern keeps the results of a job's tasks apart: each task has a folder of its own.

A value stays within its part of a path, so a part with one placeholder tells its value. A part with several,
such as ``{task}{s}``, may not: 1 with 11 and 11 with 1 are both ``111``. Most patterns show by the characters
of the values where each one ends. For the others of a grid every place is computed; what the rows of a table
hold isn't known here, so their patterns have to show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import PurePosixPath
from typing import Final

from offload.model.array import Array
from offload.model.parameters import Axis, Parameters, numbers_of, pieces
from offload.model.placement import part_of

Alphabets = Mapping[str, frozenset[str] | None]
"""The characters that the values of each name have; None when they may have any."""
_DIGITS: Final = frozenset("0123456789")
_JOB: Final = "\0"
"""Stands for the job's id, which isn't known yet; no value has it in its part of a path."""
_BETWEEN: Final = re.compile(r"\}[^/{}]*\{")


def mixing_mistakes(pattern: str, parameters: Parameters, tasks: Array) -> list[str]:
    """What is wrong with a pattern that mentions enough, and still may mix tasks: a sentence or none.

    Args:
        pattern: where the results of a task belong, by ``{task}`` or by every parameter of a grid.
        parameters: of the tasks; sound ones.
        tasks: their indices.
    """
    if is_plain(pattern, parameters):
        return []
    better = _BETWEEN.sub("}/{", pattern)
    if parameters.table is not None:
        unclear = "because it doesn't show where one value ends and the next begins"
        return [f"{pattern!r} may mix the files of different tasks, {unclear}; write {better!r}."]
    if shared := first_shared(pattern, parameters, tasks):
        one, other, place = shared
        return [f"{pattern!r} would put the files of tasks {one} and {other} into {place}; write {better!r}."]
    return []


def is_plain(pattern: str, parameters: Parameters) -> bool:
    """Whether a place shows whose it is, whatever values there are of the characters that these have."""
    unbounded: dict[str, frozenset[str] | None] = dict.fromkeys(parameters.names)
    bounded = {axis.name: _alphabet(axis) for axis in parameters.grid}
    told = _told(pattern, {**unbounded, **bounded, "task": _DIGITS})
    if "task" in told:
        return True
    return parameters.table is None and told.issuperset(bounded) and all(map(_is_distinct, parameters.grid))


def first_shared(pattern: str, parameters: Parameters, tasks: Array) -> tuple[int, int, str] | None:
    """The first two tasks of a grid that share a place, and this place."""
    seen: set[int] = set()  # hashes: a million places would be too much to keep
    for task, place in _places(pattern, parameters, tasks):
        if hash(place) in seen:
            same = (one for one, other in _places(pattern, parameters, tasks) if other == place)
            if (first := next(same)) != task:
                return first, task, place.replace(_JOB, "{job}")
        seen.add(hash(place))
    return None


def _places(pattern: str, parameters: Parameters, tasks: Array) -> Iterator[tuple[int, str]]:
    """Each task of a grid and its place."""
    wanted = None if len(tasks) == parameters.count else frozenset(tasks)
    texts = pieces(pattern)
    names, texts[1::2] = texts[1::2], ["%s"] * (len(texts) // 2)
    texts[::2] = [text.replace("%", "%%") for text in texts[::2]]
    template = "".join(texts)
    for task, values in enumerate(product(*map(_parts, parameters.grid)), start=1):
        if wanted is None or task in wanted:
            known = dict(zip(parameters.names, values, strict=True), task=str(task), job=_JOB)
            yield task, template % tuple([known[name] for name in names])


def _parts(axis: Axis) -> list[str]:
    return [part_of(axis.value(number)) for number in range(len(axis))]


def _alphabet(axis: Axis) -> frozenset[str]:
    if axis.values:
        return frozenset("".join(map(part_of, axis.values)))
    return _DIGITS | {"-"} if any(min(part[:2]) < 0 for part in axis.ranges) else _DIGITS


def _is_distinct(axis: Axis) -> bool:
    if len(axis.ranges) == 1:
        return True
    numbers = (number for part in axis.ranges for number in numbers_of(part))
    return len({*axis.values, *numbers}) == len(axis)


def _told(pattern: str, alphabets: Alphabets) -> set[str]:
    """The names whose values a place shows."""
    told: set[str] = set()
    parts = [pieces(part) for part in PurePosixPath(pattern).parts]
    for _ in parts:  # what one part shows is known text in the others
        for texts in parts:
            told |= _told_by(texts, alphabets, told)
    return told


def _told_by(texts: Sequence[str], alphabets: Alphabets, known: set[str]) -> set[str]:
    """The names whose values one part shows, when some are known."""
    names = texts[1::2]
    told = known | _read(names, texts[2::2], alphabets, known)
    told |= _read(names[::-1], texts[-3::-2], alphabets, known)
    unread = set(names) - told - {"job"}
    return told | unread if len(unread) <= 1 else told


def _read(names: Sequence[str], after: Sequence[str], alphabets: Alphabets, known: set[str]) -> set[str]:
    """The names that can be read in order: each value ends before a character that it can't have."""
    told: set[str] = set()
    for name, text in zip(names, after, strict=True):
        if not (name in known or name in told or name == "job" or _ends(alphabets[name], text)):
            break
        told.add(name)
    return told - {"job"}


def _ends(alphabet: frozenset[str] | None, text: str) -> bool:
    return alphabet is not None and not alphabet.issuperset(text)
