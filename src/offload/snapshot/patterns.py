"""Lines in gitignore syntax, matched as git matches them, byte by byte.

A line becomes one regular expression about one path; what follows from a directory for what lies below it
is the walk's business, which doesn't enter a directory that is left out. Tests hold this against git
itself. As in git, a line that can't match anything (an open bracket, a lone ``!``) is no error.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Final

_SLASH: Final = ord("/")
_ALL: Final = frozenset(range(256)) - {_SLASH}
_CLASSES: Final = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class _Never(Exception):  # noqa: N818  a signal inside this module
    """The pattern can't match anything."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line.

    Attributes:
        line: its number, from 1.
        text: as it was written.
        includes: whether it brings back what an earlier line left out (``!``).
        directories_only: whether it is about directories alone (``/`` at its end).
        names_only: whether it is about the last part of a path (no other ``/``).
        regex: matches the whole path below the pattern file's directory, or its last part.
    """

    line: int
    text: bytes
    includes: bool
    directories_only: bool
    names_only: bool
    regex: re.Pattern[bytes]

    def matches(self, path: bytes, *, is_directory: bool) -> bool:
        """Whether it is about this path itself."""
        if self.directories_only and not is_directory:
            return False
        return self.regex.fullmatch(path.rpartition(b"/")[2] if self.names_only else path) is not None


def parse_patterns(data: bytes) -> tuple[Pattern, ...]:
    """The patterns of a file's content; comments, empty lines and what can't match are left out."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found = (_parse(number, line) for number, line in enumerate(lines, 1))
    return tuple(pattern for pattern in found if pattern is not None)


def _parse(number: int, line: bytes) -> Pattern | None:
    text = _trim(line.removesuffix(b"\r"))
    if text.startswith(b"#"):
        return None
    includes = text.startswith(b"!")
    body = text.removeprefix(b"!")
    directories_only = body.endswith(b"/")
    body = body.removesuffix(b"/")
    names_only = b"/" not in body
    body = body.removeprefix(b"/")
    try:
        regex = re.compile(_translate(body), re.DOTALL)
    except _Never:
        return None
    return Pattern(number, text, includes, directories_only, names_only, regex)


def _trim(line: bytes) -> bytes:
    """Without the spaces at the end, unless a backslash keeps them."""
    end = at = 0
    while at < len(line):
        at += 2 if line[at : at + 1] == b"\\" else 1
        if line[at - 1 : at] != b" " or line[at - 2 : at - 1] == b"\\":
            end = at
    return line[:end]


def _translate(pattern: bytes) -> bytes:
    if not pattern:
        raise _Never
    parts: list[bytes] = []
    at = 0
    while at < len(pattern):
        part, at = _token(pattern, at)
        parts.append(part)
    return b"".join(parts)


def _token(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The regular expression of what stands at a position, and the position after it."""
    match pattern[at : at + 1]:
        case b"*":
            return _stars(pattern, at)
        case b"?":
            return b"[^/]", at + 1
        case b"[":
            members, after = _bracket(pattern, at + 1)
            return _one_of(members), after
        case b"\\":
            if at + 1 == len(pattern):
                raise _Never
            return re.escape(pattern[at + 1 : at + 2]), at + 2
        case literal:
            return re.escape(literal), at + 1


def _stars(pattern: bytes, at: int) -> tuple[bytes, int]:
    """``*`` stays in one part; ``**`` that is a part of its own is any number of them."""
    after = at
    while pattern[after : after + 1] == b"*":
        after += 1
    alone = after - at > 1 and (at == 0 or pattern[at - 1] == _SLASH)
    if alone and pattern[after : after + 1] == b"/":
        return b"(?:.*/)?", after + 1
    if alone and after == len(pattern):
        return b".*", after
    return b"[^/]*", after


def _one_of(members: frozenset[int]) -> bytes:
    if not members:
        raise _Never
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes that a bracket expression stands for, and the position after it."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    start = at
    while at == start or pattern[at : at + 1] != b"]":
        found, at = _member(pattern, at)
        members |= found
    return (_ALL - members if negated else _ALL & members), at + 1


def _member(pattern: bytes, at: int) -> tuple[set[int], int]:
    """A class, a range or a single byte inside of brackets."""
    if pattern[at : at + 2] == b"[:":
        end = pattern.find(b"]", at + 2)
        if end > at + 2 and pattern[end - 1 : end] == b":":
            return _class(pattern[at + 2 : end - 1]), end + 1
    first, at = _byte(pattern, at)
    if pattern[at : at + 1] == b"-" and pattern[at + 1 : at + 2] not in (b"", b"]"):
        last, at = _byte(pattern, at + 1)
        return set(range(first, last + 1)), at
    return {first}, at


def _class(name: bytes) -> set[int]:
    if name not in _CLASSES:
        raise _Never
    return {*_CLASSES[name].encode()}


def _byte(pattern: bytes, at: int) -> tuple[int, int]:
    at += pattern[at : at + 1] == b"\\"
    if at >= len(pattern):
        raise _Never
    return pattern[at], at + 1
