"""Defaults that a script carries for itself: ``# offload: cpus=4 memory=8Gi``.

They are comments near the top, in whatever way the language marks a comment (``#``, ``#|``, ``//``, ``--``,
``%``), so the script stays a script, and in capitals or small letters. Keys are those of the options of
``offload run``, and the command line wins. A notebook's cells are read as one text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

LINES: Final = 50
"""How far from the top a directive may stand."""
_DIRECTIVE: Final = re.compile(r"\s*(?:#+\|?|//|--|%+)\s*offload:\s*(.*)", re.IGNORECASE)
_SEVERAL: Final = ("grid", "over")
"""Keys that say another thing each time."""
_NAMED: Final = {"env": "=", "mount": ":"}
"""Keys that are given once for each name, and what ends the name."""
_NOTEBOOK_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Directive:
    """One ``key=value`` of a script; ``line`` counts from 1, and ``key`` is empty if there is no ``=``."""

    line: int
    key: str
    value: str


def read_directives(script: Path) -> list[Directive]:
    """The directives of a script, in the order they were written; none in a file that is no text."""
    return list(directives_of(_first_lines(script)))


def directives_of(lines: list[str]) -> Iterator[Directive]:
    """The directives in the first :data:`LINES` of ``lines``."""
    for number, line in enumerate(lines[:LINES], start=1):
        if match := _DIRECTIVE.match(line):
            for word in _words(match[1]):
                key, equals, value = word.partition("=")
                yield Directive(number, key, value) if equals else Directive(number, "", word)


def said_twice(directives: Iterable[Directive], keys: Container[str]) -> Iterator[tuple[str, int, int]]:
    """What of ``keys`` is given once more, though only one can hold, with the line of each."""
    lines: dict[str, int] = {}
    for item in directives:
        key = item.key or item.value
        if key not in keys or key in _SEVERAL:
            continue
        if key in _NAMED:
            key = f"{key} {item.value.partition(_NAMED[key])[0]}"
        if key in lines:
            yield key, lines[key], item.line
        lines[key] = item.line


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an unclosed quote: as it stands, so that the mistake is shown
        return text.split()


def _first_lines(script: Path) -> list[str]:
    with script.open("rb") as file:
        if script.suffix != ".ipynb":
            # Editors on Windows begin a text with a byte order mark; interpreters read over it.
            return [line.decode("utf-8", "replace").removeprefix("\ufeff") for line in islice(file, LINES)]
        return _notebook_lines(file.read(_NOTEBOOK_LIMIT))


def _notebook_lines(data: bytes) -> list[str]:
    try:
        cells = json.loads(data)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        return []
    return "\n".join(texts).splitlines()
