"""The directories of a runner: who owns them, and that nothing of its work stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from offload.snapshot.sifting import State, state_of
from offload.snapshot.writing import copy_file
from offload.wire.runner_place import ENDED, HOME, IDENTITY, LOCK
from offload.wire.trees import empty_directory, remove

_USUAL: Final = 0o755
_OPEN: Final = 0o777


class Workplace:
    """A runner's private directory, and what it shares with its tasks.

    Beside an agent, tasks run in another container, which sees the directory of the agent and the files and
    nothing else. It may run as another user, so what is shared is open to all; nobody else is in a pod.

    Attributes:
        pristine: the snapshot as it was sent; never touched by a task.
        spool: output of the attempt under way; its files remove themselves.
        reserve: space that is set aside for output on a full disk.
        files: the attempt's copy of the snapshot.
        result: where the task may leave its result object.
        stdin: standard input of the tasks, if there is one.
        was_occupied: whether an earlier runner has worked here.
    """

    def __init__(self, directory: Path, *, agent: Path | None = None, files: Path | None = None) -> None:
        self._directory = directory
        self._attempt = directory / "attempt"
        self._agent = agent
        self._shared = agent / "attempt" if agent else self._attempt
        self.pristine = directory / "pristine"
        self.spool = directory / "spool"
        self.reserve = directory / "reserve"
        self.files = files or self._shared / "files"
        self._is_given = files is not None
        self.result = self._shared / "result.json"
        self.stdin = directory / "stdin"
        self._spare = directory / "checkpoint"
        self._lent: State | None = None
        self.was_occupied = (directory / IDENTITY).exists()

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
        if self._agent:
            open_to_all(self._agent / HOME)
        return True

    def clear(self) -> None:
        """Remove all work, as far as that can be done."""
        # A task that is another user may leave what can't be removed; the next one is told so.
        with contextlib.suppress(PermissionError):
            if self._is_given:
                empty_directory(self.files)
            for path in dict.fromkeys((self._shared, self._attempt)):
                remove(path)
        for path in (self.pristine, self.spool, self._spare):
            remove(path)
        self.stdin.unlink(missing_ok=True)
        self.reserve.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what an attempt left beside its copy of the snapshot, as far as that can be done."""
        with contextlib.suppress(OSError):
            self._reclaim()
            with os.scandir(self._shared) as entries:
                for entry in entries:
                    if Path(entry.path) != self.files:
                        remove(Path(entry.path))

    def prepare_attempt(self) -> None:
        """Make room for an attempt; raises ``OSError`` where what another one left is in the way."""
        self._attempt.mkdir(exist_ok=True)
        self._reclaim()
        remove(self.result)

    def _reclaim(self) -> None:
        """See that what is shared is a directory, not what a script put there, and can be written to."""
        mode = _OPEN if self._agent else _USUAL
        if not self._shared.is_dir() or self._shared.is_symlink():
            remove(self._shared)
            self._shared.mkdir(parents=True)
        if stat.S_IMODE(self._shared.stat().st_mode) != mode:
            self._shared.chmod(mode)

    def checkpoint(self, path: Path) -> None:
        """Make the directory that outlives an attempt; what is there already, a link even, stays as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = self._is_new(path)
        if self._agent:
            open_to_all(path)
        elif not is_new:
            # Another runner that isn't expected back sees by this that it isn't alone with the directory.
            with contextlib.suppress(OSError):
                os.utime(path, follow_symlinks=False)
        self._lent = state_of(path.lstat()) if is_new else None

    def _is_new(self, path: Path) -> bool:
        with contextlib.suppress(OSError):  # there is no spare one, or something is there
            self._spare.rename(path)
            return True
        try:
            path.mkdir()
        except FileExistsError:
            return False
        return True

    def spare_checkpoint(self, path: Path) -> None:
        """Take the directory of a task that has succeeded for the next one, if it was never used.

        A million tasks would leave a million of them.
        """
        with contextlib.suppress(OSError):  # it stays where it is on another file system
            if self._lent and state_of(path.lstat()) == self._lent and not os.listdir(path):
                path.rename(self._spare)
                if self._spare.stat().st_mtime_ns != self._lent.fingerprint.mtime_ns:
                    self._spare.rename(path)

    def task_stdin(self) -> Path:
        """Standard input as the task can read it."""
        if not self._agent:
            return self.stdin
        copy = self._shared / "stdin"
        copy.unlink(missing_ok=True)
        copy_file(os.fsencode(self.stdin), os.fsencode(copy))
        copy.chmod(0o644)
        return copy

    def leave(self) -> None:
        """Remove all work and say that this was an end in order, if there still is where to say it."""
        self.clear()
        with contextlib.suppress(FileNotFoundError):
            _write(self._directory / ENDED, "")


def open_to_all(directory: Path) -> None:
    """Make a directory that every user of the pod may write into."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # somebody else's, such as a mounted one
        directory.chmod(_OPEN)


def _identity() -> dict[str, Any]:
    with open("/proc/self/stat", "rb") as file:
        started = int(file.read().rpartition(b")")[2].split()[19])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"pid": os.getpid(), "started": started, "boot": boot}


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
