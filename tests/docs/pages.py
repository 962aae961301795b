"""Reads the examples out of the pages: files to make, commands to type, and what they print.

The convention. A fenced block ``console`` holds commands, each after ``$ `` (continued after ``> ``), and
below each what a terminal shows. A ``code-block`` with a caption is a file of that name. A page is one
session, from its first block to its last. Blocks ``sh`` are for the reader alone and aren't executed.

What can't be known beforehand:

* ``...`` or ``…`` alone on a line stands for any lines, ``…`` within a line for any text;
* an id (seven characters, with a digit) stands for whatever id the job really has, always the
  same on one page;
* the port of the pages stands for one that is free;
* a duration stands for any duration, a size for any size, a run of spaces for any run of spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PORT = "8750"
_FENCE = re.compile(r"^(`{3,}|:{3,})\{?([\w-]*)\}?\s*(.*)$")
_ID = r"(?<!\w)%s[a-z][2-9a-z]{6}(?!\w)"
REAL_ID = _ID % ""
ID = re.compile(_ID % r"(?=[a-z]*\d)")
_DURATION = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?[dhms](?: \d+[hms])?(?![\w-])")
_SIZE = re.compile(r"(?<![\w.-])\d+(?:\.\d+)? (?:bytes|[kMG]B|[KMG]iB|B)(?![\w-])")
_SPECIAL = re.compile(f"{ID.pattern}|{_DURATION.pattern}|{_SIZE.pattern}|…| +")


@dataclass(frozen=True, slots=True)
class File:
    """A file that the reader makes."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that the reader types, and what is then to be seen."""

    line: int
    text: str
    shows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    line: int
    kind: str
    argument: str
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """Every page that a person wrote."""
    found = [path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts]
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    return sorted(path for path in [*top, *found] if "_build" not in path.parts)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    fence, start, kind, argument, held = "", 0, "", "", []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        match = _FENCE.match(line)
        if not fence and match:
            fence, start, kind, argument, held = match[1], number, match[2], match[3], []
        elif fence and line.strip() == fence:
            yield Block(start, kind, argument, tuple(held))
            fence = ""
        elif fence:
            held.append(line)


def steps(page: Path) -> Iterator[File | Command]:
    """What the reader of a page does, in order."""
    for block in blocks(page):
        if block.kind == "console":
            yield from _commands(block)
        elif block.kind == "code-block" and block.lines[0].startswith(":caption:"):
            name = block.lines[0].removeprefix(":caption:").strip()
            yield File(name, "\n".join(block.lines[1:]).strip("\n") + "\n")


def _commands(block: Block) -> Iterator[Command]:
    text, shows, at = "", [], block.line
    for number, line in enumerate(block.lines, start=block.line + 1):
        if line.startswith("$ "):
            if text:
                yield Command(at, text, tuple(shows))
            text, shows, at = line[2:], [], number
        elif line.startswith("> ") and not shows:
            text += "\n" + line[2:]
        else:
            shows.append(line)
    if text:
        yield Command(at, text, tuple(shows))


def expected(shows: tuple[str, ...], ids: dict[str, str]) -> re.Pattern[str]:
    """A pattern of what is to be seen; an id that isn't in ``ids`` yet is a group of its own."""
    new: set[str] = set()
    return re.compile("".join(_line(line, ids, new) for line in shows))


def _line(line: str, ids: dict[str, str], new: set[str]) -> str:
    if line.strip() in ("...", "…"):
        return r"(?:.*\n)*?"
    parts: list[str] = []
    at = 0
    for match in _SPECIAL.finditer(line):
        parts += (re.escape(line[at : match.start()]), _special(match[0], ids, new))
        at = match.end()
    return "".join([*parts, re.escape(line[at:])]) + " ?\n"


def _special(text: str, ids: dict[str, str], new: set[str]) -> str:
    if text == "…":
        return ".*"
    if not text.strip():
        return " +"
    if ID.fullmatch(text):
        if text in ids:
            return re.escape(ids[text])
        if text in new:
            return f"(?P={text})"
        new.add(text)
        return f"(?P<{text}>{REAL_ID})"
    return _DURATION.pattern if _DURATION.fullmatch(text) else _SIZE.pattern


def with_ids(command: str, ids: dict[str, str]) -> str:
    """A command with the ids that the jobs really have."""
    return ID.sub(lambda match: ids.get(match[0], match[0]), command)
