"""Which container image a command runs in, and which ones people may name.

Short names mean Docker Hub, as everywhere: ``rocker/r-ver:4.4`` is ``docker.io/rocker/r-ver:4.4``, and
``python:3.13`` is ``docker.io/library/python:3.13``. A pattern is read in the same way, so that one which
allows an image allows each way of writing it, and no other.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

OTHERS: Final = "default"
"""The language of every command that no other belongs to."""
LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "R": ("Rscript", "R"),
    "python": ("python", "python3"),
    "jupyter": ("jupyter",),
    "julia": ("julia",),
    "quarto": ("quarto",),
    "octave": ("octave",),
    "shell": ("bash", "sh"),
    "perl": ("perl",),
    "node": ("node",),
    "ruby": ("ruby",),
    OTHERS: (),
}
"""The programs of each language."""
STANDARD: Final[Mapping[str, str]] = {
    "R": "docker.io/rocker/r-ver:4.4",
    OTHERS: "docker.io/library/python:3.13",
}
"""Images that anybody can fetch; the second has a shell and common tools too."""


def language_of(command: Sequence[str]) -> str:
    """The language of a command, by its program."""
    program = re.sub(r"[\d.]+$", "", posixpath.basename(command[0]))
    for language, programs in LANGUAGES.items():
        if program in programs or posixpath.basename(command[0]) in programs:
            return language
    return OTHERS


def image_for(command: Sequence[str], images: Mapping[str, str]) -> str:
    """The cluster's image for a command."""
    return images.get(language_of(command), images[OTHERS])


def is_allowed(image: str, own: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether people may run an image: the cluster's own, and what a pattern matches."""
    full = _full(image)
    return any(full == _full(one) for one in own) or any(_matches(pattern, full) for pattern in patterns)


def _matches(pattern: str, full: str) -> bool:
    parts = (re.escape(part) for part in _full(pattern).split("*"))
    return bool(re.fullmatch(".*".join(parts), full))


def _full(name: str) -> str:
    first, slash, rest = name.partition("/")
    if name == "*" or ("*" in first and slash):
        return name
    if not slash:
        return f"docker.io/library/{name}"
    if not ("." in first or ":" in first or first == "localhost"):
        return f"docker.io/{name}"
    return f"docker.io/{rest}" if first == "index.docker.io" else name
