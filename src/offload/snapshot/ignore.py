"""What of a working directory is left out, and which rule says so.

Offload's own directories always are (:mod:`~offload.snapshot.own`). Beyond them there are two sources, and
nothing else: a short built-in list of what can be made again and never is the analysis (version control,
virtual environments, package libraries, caches, results that didn't come home whole), and ``.offloadignore``
files in gitignore syntax, in any directory. ``.gitignore`` is not consulted, because data files are often in
it. As in git, the last matching line wins, a deeper file wins over a higher one, all of them win over the
built-in list (``!renv/library/`` sends the library), and nothing below a directory that is left out can come
back.
"""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from offload.errors import UsageError
from offload.model.file_names import shown
from offload.snapshot.own import OWN_RULE, UNFINISHED_RULE, is_unfinished
from offload.snapshot.patterns import Pattern, parse_patterns

IGNORE_FILE: Final = b".offloadignore"

BUILT_IN_DIRECTORIES: Final = frozenset(
    (
        *(b".git", b".hg", b".svn", b".bzr", b".jj", b"_darcs", b"CVS"),
        *(b".venv", b".virtualenv", b".conda", b".pixi", b".tox", b".nox", b".direnv"),
        *(b"node_modules", b".eggs"),
        *(b"__pycache__", b".ipynb_checkpoints", b".Rproj.user", b".mypy_cache", b".ruff_cache"),
        *(b".pytest_cache", b".hypothesis", b".ccache"),
    )
)
"""Directories that are left out wherever they are."""

BUILT_IN_FILES: Final = frozenset((b".git", b".DS_Store", b"Thumbs.db"))
"""Files that are left out wherever they are; ``.git`` is a file in a worktree."""

BUILT_IN_BELOW: Final = {
    b"renv": frozenset((b"library", b"staging", b"sandbox", b"python")),
    b"packrat": frozenset((b"lib", b"lib-R", b"lib-ext", b"src")),
}
"""Directories that are left out below one of this name: package libraries of R projects."""

BUILT_IN_MARKERS: Final = (b"pyvenv.cfg", b"conda-meta/history")
"""What makes any directory a virtual environment."""


def built_in_rule(root: bytes, path: bytes, *, is_directory: bool) -> str:
    """The built-in rule that leaves ``path`` (relative to ``root``) out, or the empty string."""
    above, _, name = path.rpartition(b"/")
    if not is_directory:
        if is_unfinished(name):
            return UNFINISHED_RULE
        return f"built-in rule `{os.fsdecode(name)}`" if name in BUILT_IN_FILES else ""
    if name in BUILT_IN_DIRECTORIES:
        return f"built-in rule `{os.fsdecode(name)}/`"
    parent = above.rpartition(b"/")[2]
    if name in BUILT_IN_BELOW.get(parent, ()):
        return f"built-in rule `{os.fsdecode(parent)}/{os.fsdecode(name)}/`"
    for marker in BUILT_IN_MARKERS:
        if os.access(os.path.join(root, path, marker), os.F_OK):
            return f"built-in rule: a directory with `{os.fsdecode(marker)}` is a virtual environment"
    return ""


@dataclass(frozen=True, slots=True)
class _Level:
    """One ``.offloadignore``: the directory it lies in, with a trailing slash, and its patterns."""

    base: bytes
    patterns: tuple[Pattern, ...]

    def verdict(self, path: bytes, *, is_directory: bool) -> tuple[bool | None, str]:
        """True to leave out, False to send, None when no line matches; and the line."""
        below = path[len(self.base) :]
        for pattern in reversed(self.patterns):
            if pattern.matches(below, is_directory=is_directory):
                name = os.fsdecode(self.base + IGNORE_FILE)
                return not pattern.includes, f"`{name}` line {pattern.line}: `{os.fsdecode(pattern.text)}`"
        return None, ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold for what lies directly in one directory; ``own`` are Offload's own directories."""

    root: bytes
    own: frozenset[bytes] = frozenset()
    levels: tuple[_Level, ...] = ()

    @classmethod
    def of(cls, root: bytes, own: frozenset[bytes]) -> Rules:
        """The rules at the root."""
        return cls(root, own).enter(b"")

    def enter(self, directory: bytes) -> Rules:
        """The rules in a directory (relative to the root) directly below the one of these.

        Raises:
            UsageError: its ``.offloadignore`` is a directory.
            OSError: it can't be read.
        """
        base = directory + b"/" if directory else b""
        level = _read_level(self.root, base)
        return Rules(self.root, self.own, (*self.levels, level)) if level else self

    def leaves_out(self, path: bytes, *, is_directory: bool) -> tuple[bool, str]:
        """Whether ``path`` is left out, and the rule that decided; no rule is the empty string."""
        if path in self.own:
            return True, OWN_RULE
        for level in reversed(self.levels):
            verdict, rule = level.verdict(path, is_directory=is_directory)
            if verdict is not None:
                return verdict, rule
        rule = built_in_rule(self.root, path, is_directory=is_directory)
        return bool(rule), rule


@dataclass(frozen=True, slots=True)
class ResultRules:
    """The rules about results: the built-in list, except for what was ``sent``."""

    root: bytes
    sent: Container[bytes]

    def enter(self, _directory: bytes) -> ResultRules:
        """The same, everywhere."""
        return self

    def leaves_out(self, path: bytes, *, is_directory: bool) -> tuple[bool, str]:
        """Whether ``path`` stays behind, and the rule that decided."""
        rule = "" if path in self.sent else built_in_rule(self.root, path, is_directory=is_directory)
        return bool(rule), rule


def _read_level(root: bytes, base: bytes) -> _Level | None:
    try:
        with open(os.path.join(root, base, IGNORE_FILE), "rb") as file:
            return _Level(base, parse_patterns(file.read()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as error:
        raise UsageError(
            f"{shown(base + IGNORE_FILE)} is a directory; the rules have to be in a file.",
            next_step="Rename it, or remove it.",
        ) from error
