"""Where things lie in a pod, and whether the working directory can lie where it lies at home.

It should, because scripts name files by absolute paths. It can't where that would hide a part of the
image's own system, where only root can go, or where one of the job's mounts is: then it lies at
:data:`FILES`, and the script still starts in it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Final

SHARED: Final = "/offload"
"""What runner and task share: orders, answers, results, checkpoints, and the task's ``HOME``."""
HOME: Final = f"{SHARED}/home"
CHECKPOINTS: Final = f"{SHARED}/checkpoints"
FILES: Final = "/offload-files"
"""The working directory, where it can't be as at home."""
PRIVATE: Final = "/var/lib/offload"
"""The runner's own; the task's container doesn't have it."""
TOKEN: Final = "/var/run/offload"  # noqa: S105  a directory
TEMPORARY: Final = "/tmp"  # noqa: S108  of a container, not of this machine
SHM: Final = "/dev/shm"  # noqa: S108  the same

_ROOT: Final = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin")
_VAR: Final = ("backups", "cache", "lib", "lock", "log", "mail", "run", "spool")
_SYSTEM: Final = (
    *(f"/{name}" for name in (*_ROOT, "sys", "usr")),
    *(f"/var/{name}" for name in _VAR),
    *(SHARED, FILES, "/opt/offload", "/opt/packages"),
    "/root",  # closed to anybody but root
)
_LONGEST: Final = 1024


def files_place(home: str, mounts: Iterable[str] = ()) -> str:
    """Where the working directory lies in a pod: where it lies at home, or at :data:`FILES`.

    Args:
        home: its absolute path at home.
        mounts: paths of the job's mounts.
    """
    if not _can_be_a_mount(home) or _in_the_way(home) or home in (TEMPORARY, "/home"):
        return FILES
    return FILES if any(is_within(home, mount) for mount in mounts) else home


def mount_refusal(path: str) -> str:
    """Why a mount can't be at a path, in words; empty when it can."""
    hides = _in_the_way(path) or path == TEMPORARY
    return f"{path} would hide a part of the image's system, or of Offload" if hides else ""


def _in_the_way(path: str) -> bool:
    return any(is_within(path, one) or is_within(one, path) for one in _SYSTEM)


def is_within(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _can_be_a_mount(path: str) -> bool:
    plain = path.isprintable() and ":" not in path and "�" not in path
    normal = path.startswith("/") and path == posixpath.normpath(path) and not path.startswith("//")
    return plain and normal and len(path.encode(errors="replace")) <= _LONGEST
