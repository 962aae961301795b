"""Which rule sends a file, or leaves it out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from offload.errors import SnapshotUnreadableError, UsageError
from offload.model.file_names import shown
from offload.model.manifest import parents
from offload.snapshot.ignore import Rules
from offload.snapshot.own import own_paths
from offload.snapshot.walk import SPECIAL, link_target


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a path.

    Attributes:
        path: relative to the root.
        sent: whether it would travel.
        rule: what decided, for example ``built-in rule `.git/``` or ```.offloadignore` line 4: `*.tmp```.
        decided_at: the path that the rule is about: this one, or a directory above it.
        exists: whether there is such a file or directory.
    """

    path: bytes
    sent: bool
    rule: str
    decided_at: bytes
    exists: bool = True

    def __str__(self) -> str:
        """In words, after the name: ``not sent: built-in rule `.git/`, which decides about .git``."""
        verdict = ("" if self.sent else "not ") + "sent"
        if not self.exists:
            verdict = f"not there; it would {'' if self.sent else 'not '}be sent"
        where = "" if self.decided_at == self.path else f", which decides about {shown(self.decided_at)}"
        return f"{verdict}: {shown(self.rule)}{where}"


def explain(root: str | Path, path: str | Path, *, own: Iterable[Path] = ()) -> Decision:
    """Say whether ``path`` (absolute, or relative to ``root``) would be sent; it need not exist.

    Args:
        root: the working directory.
        path: what is asked about.
        own: Offload's own directories, which never are.

    Raises:
        UsageError: ``path`` lies outside of ``root``, or ``root`` is one of Offload's own directories.
        SnapshotUnreadableError: what decides can't be read.
    """
    try:
        return _decide(root, path, own)
    except OSError as error:
        raise SnapshotUnreadableError(
            f"{shown(error.filename)} can't be read: {error.strerror}.",
            next_step="Make it readable (chmod u+r).",
        ) from error


def _decide(root: str | Path, path: str | Path, own: Iterable[Path]) -> Decision:
    real = os.path.realpath(os.fsencode(root))
    relative = _relative(real, os.fsencode(path))
    rules = Rules.of(real, own_paths(real, own))
    if not relative:
        return Decision(b".", sent=True, rule="it is the working directory", decided_at=b".")
    rule, exists = "", os.path.lexists(os.path.join(real, relative))
    for at in [*parents(relative), relative]:
        is_directory = _is_directory(real, at, asked=os.fsencode(path) if at == relative else b"/")
        out, rule = rules.leaves_out(at, is_directory=is_directory)
        if out:
            return Decision(relative, sent=False, rule=rule, decided_at=at, exists=exists)
        if reason := _reason(real, at, is_last=at == relative):
            return Decision(relative, sent=False, rule=reason, decided_at=at, exists=exists)
        if is_directory and at != relative:
            rules = rules.enter(at)
    rule = rule or "no rule leaves it out"
    return Decision(relative, sent=True, rule=rule, decided_at=relative, exists=exists)


def _relative(root: bytes, path: bytes) -> bytes:
    inside = root.rstrip(b"/") + b"/"
    whole = os.path.normpath(os.path.join(root, path))
    if whole == root:
        return b""
    if not whole.startswith(inside):
        if os.path.realpath(whole) == root:
            return b""
        # Perhaps it is spelled through a link to the root. Its last part stays: a link is sent as a link.
        whole = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    if not whole.startswith(inside):
        raise UsageError(
            f"{shown(path)} lies outside of the working directory {shown(root)}.",
            next_step="Name a file or directory below it.",
        )
    return whole[len(inside) :]


def _is_directory(root: bytes, path: bytes, asked: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(os.path.join(root, path)).st_mode)
    except OSError:
        return asked.endswith(b"/")


def _reason(root: bytes, path: bytes, *, is_last: bool) -> str:
    """Why something that no rule leaves out can't be sent all the same."""
    try:
        kind = stat.S_IFMT(os.lstat(os.path.join(root, path)).st_mode)
    except OSError:
        return ""
    if kind == stat.S_IFLNK:
        if link_target(root, path) is None:
            return "it is a symbolic link out of the working directory, which is refused"
        return "" if is_last else "it is a symbolic link, which is sent as a link"
    return f"it is a {SPECIAL[kind]}" if kind in SPECIAL else ""
