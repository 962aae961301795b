"""Which rule sends a file, or leaves it out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from offload.errors import UsageError
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
    """

    path: bytes
    sent: bool
    rule: str
    decided_at: bytes

    def __str__(self) -> str:
        name, above = os.fsdecode(self.path), os.fsdecode(self.decided_at)
        where = "" if self.decided_at == self.path else f", which decides about {above}"
        return f"{name} is {'sent' if self.sent else 'not sent'}: {self.rule}{where}."


def explain(root: str | Path, path: str | Path, *, own: Iterable[Path] = ()) -> Decision:
    """Say whether ``path`` (absolute, or relative to ``root``) would be sent; it need not exist.

    Args:
        root: the working directory.
        path: what is asked about.
        own: Offload's own directories, which never are.

    Raises:
        UsageError: ``path`` lies outside of ``root``, or ``root`` is one of Offload's own directories.
    """
    real = os.path.realpath(os.fsencode(root))
    relative = _relative(real, os.fsencode(path))
    rules = Rules.of(real, own_paths(real, own))
    rule = ""
    for at in [*parents(relative), relative]:
        is_directory = _is_directory(real, at, asked=os.fsencode(path) if at == relative else b"/")
        out, rule = rules.leaves_out(at, is_directory=is_directory)
        if out:
            return Decision(relative, sent=False, rule=rule, decided_at=at)
        if reason := _reason(real, at, is_last=at == relative):
            return Decision(relative, sent=False, rule=reason, decided_at=at)
        if is_directory and at != relative:
            rules = rules.enter(at)
    return Decision(relative, sent=True, rule=rule or "no rule leaves it out", decided_at=relative)


def _relative(root: bytes, path: bytes) -> bytes:
    inside = root.rstrip(b"/") + b"/"
    whole = os.path.normpath(os.path.join(root, path))
    if not whole.startswith(inside):
        # Perhaps it is spelled through a link to the root. Its last part stays: a link is sent as a link.
        whole = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    if not whole.startswith(inside):
        raise UsageError(
            f"{os.fsdecode(path)} lies outside of the working directory {os.fsdecode(root)}.",
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
