"""How much memory a task's process tree has, and whether that is too much.

With a delegated cgroup v2 the kernel keeps the limit and counts exactly. Otherwise the tree is watched.
Resident sizes count shared pages once per process, so a script that forks (R's ``mclapply``) would look many
times larger than it is; where the plain sum matters, the proportional sizes decide.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from offload.runner.tree import Kin, proportional, resident

FASTEST: Final = 0.05
SLOWEST: Final = 0.25


class Memory(Protocol):
    """Watches one attempt.

    Attributes:
        peak: bytes, the most that was seen.
        interval: seconds until the next look makes sense.
    """

    peak: int
    interval: float

    def look(self) -> bool:
        """Measure; whether the limit is exceeded and the tree must be ended."""

    @property
    def join(self) -> Callable[[], None] | None:
        """What the fresh child must do to be counted, which makes its start four times as expensive."""

    def kernel_killed(self) -> bool:
        """Whether the kernel ended a process of the task for its memory."""

    def close(self) -> None:
        """Forget the attempt; every process of it is gone."""


class WatchedMemory:
    """Measures the processes of a task every 50 to 250 ms: the fuller, the faster."""

    def __init__(self, limit: int | None, kin: Kin) -> None:
        self._limit = limit
        self._kin = kin
        self.peak = 0
        self.interval = FASTEST

    def look(self) -> bool:
        """Measure; whether the limit is exceeded."""
        pids = self._kin.look()
        size = _sum(resident, pids)
        if len(pids) > 1 and size > self.peak:
            size = _sum(proportional, pids) or size
        self.peak = max(self.peak, size)
        if self._limit is None:
            self.interval = min(self.interval * 1.5, SLOWEST)
            return False
        self.interval = FASTEST if size * 2 > self._limit else min(self.interval * 1.5, SLOWEST)
        return size > self._limit

    @property
    def join(self) -> None:
        """Nothing: descendants are found by their parents."""

    def kernel_killed(self) -> bool:
        """Unknown, so no."""
        return False

    def close(self) -> None:
        """Nothing to do."""


class CgroupMemory:
    """Lets the kernel keep the limit, in a child of the delegated directory ``parent``.

    Raises:
        OSError: the directory is not what it was promised to be.
    """

    def __init__(self, limit: int | None, *, parent: Path) -> None:
        self._directory = parent / "task"
        self._directory.mkdir(exist_ok=True)
        self.peak = 0
        self.interval = SLOWEST
        if limit is not None:
            self._write("memory.max", str(limit))
            with contextlib.suppress(OSError):  # no swap accounting: then there is no swap to fence off
                self._write("memory.swap.max", "0")
            # Without this the kernel may end one helper process, and the script goes on without it.
            self._write("memory.oom.group", "1")

    def look(self) -> bool:
        """Read the peak; the kernel does the rest."""
        for name in ("memory.current", "memory.peak"):  # memory.peak came with Linux 5.19
            with contextlib.suppress(OSError, ValueError):
                self.peak = max(self.peak, int(self._read(name)))
        return False

    @property
    def join(self) -> Callable[[], None]:
        """Move the calling process into the cgroup."""
        return lambda: self._write("cgroup.procs", "0")

    def kernel_killed(self) -> bool:
        """Whether ``memory.events`` counts a kill."""
        self.look()
        events = dict(line.split() for line in self._read("memory.events").splitlines())
        return int(events.get("oom_kill", 0)) > 0

    def close(self) -> None:
        """End what may be left in the cgroup, and remove it."""
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", "1")
        with contextlib.suppress(OSError):
            self._directory.rmdir()

    def _write(self, name: str, text: str) -> None:
        fd = os.open(self._directory / name, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def _read(self, name: str) -> str:
        return (self._directory / name).read_text(encoding="ascii")


def _sum(size: Callable[[int], int], pids: list[int]) -> int:
    return sum(map(size, pids))
