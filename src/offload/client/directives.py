"""Defaults that a script carries for itself: ``# offload: cpus=4 memory=8Gi``.

They are comments near the top, in whatever way the language marks a comment (``#``, ``#|``, ``//``, ``--``,
``%``), so the script stays a script. Keys are those of the options of ``offload run``, and the command line
wins. A notebook's cells are read as one text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

LINES: Final = 50
"""How far from the top a directive may stand."""
_DIRECTIVE: Final = re.compile(r"\s*(?:#+\|?|//|--|%+)\s*offload:\s*(.*)")
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


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an unclosed quote: as it stands, so that the mistake is shown
        return text.split()


def _first_lines(script: Path) -> list[str]:
    with script.open("rb") as file:
        if script.suffix != ".ipynb":
            return [line.decode("utf-8", "replace") for line in islice(file, LINES)]
        return _notebook_lines(file.read(_NOTEBOOK_LIMIT))


def _notebook_lines(data: bytes) -> list[str]:
    try:
        cells = json.loads(data)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        return []
    return "\n".join(texts).splitlines()
