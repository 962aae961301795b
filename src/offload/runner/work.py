"""The directories of a runner: who owns them, and that nothing of its work stays behind."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from offload.wire.runner_place import ENDED, IDENTITY, LOCK
from offload.wire.trees import remove_tree


class Workplace:
    """A runner's private directory.

    Attributes:
        pristine: the snapshot as it was sent; never touched by a task.
        attempt: what belongs to the attempt under way.
        stdin: standard input of the tasks, if there is one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pristine = directory / "pristine"
        self.attempt = directory / "attempt"
        self.stdin = directory / "stdin"

    def occupy(self) -> bool:
        """Take the lock for life and say who is here; False when another runner of this id lives."""
        self._directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        _write(self._directory / IDENTITY, json.dumps(_identity()))
        self.clear()
        return True

    def clear(self) -> None:
        """Remove all work."""
        for path in (self.pristine, self.attempt):
            remove_tree(path)
        self.stdin.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove all work and say that this was an end in order."""
        self.clear()
        _write(self._directory / ENDED, "")


def _identity() -> dict[str, Any]:
    with open("/proc/self/stat", "rb") as file:
        started = int(file.read().rpartition(b")")[2].split()[19])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"pid": os.getpid(), "started": started, "boot": boot}


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
