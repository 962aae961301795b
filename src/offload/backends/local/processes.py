"""Runners as processes of this machine: started detached, recognised without trusting a pid, swept away.

A pid alone proves nothing, it may be reused. A process is a runner if it carries the runner's id in its
environment; its end is seen on a pidfd; and whatever a dead runner leaves behind is found by the marker that
its tasks carry in theirs, or by standing in its private directory.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from offload.backends.local.forks import Forks
from offload.backends.local.spawn import ending_of, send_signal, session_environment, spawn
from offload.wire.runner_place import DIRECTORY, IDENTITY, MARKER, RUNNER

LOG: Final = "runner.log"


def start_runner(runner: str, directory: Path, settings: Mapping[str, str], forks: Forks) -> int:
    """Start a runner that outlives this process; its pidfd.

    It sees this process's environment without any ``OFFLOAD_`` variable, and ``settings``.
    """
    env = {RUNNER: runner, DIRECTORY: str(directory), **settings, **session_environment()}
    log = str(directory / LOG)
    forked = forks.start(env, log)
    return spawn("offload.runner", env, log=log) if forked is None else forked


def find_runner(runner: str, directory: Path) -> int | None:
    """A pidfd of the process of a runner that an earlier launcher started; None when there is none.

    One that has only just been started hasn't said who it is yet, but carries its id all the same.
    """
    marker = f"{RUNNER}={runner}".encode()
    try:
        pid = int(json.loads((directory / IDENTITY).read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return next(_open_marked(marker, None), None)
    return _open(str(pid), marker, None)


def reap(pidfd: int, forks: Forks) -> str:
    """Wait for an ended runner and close its pidfd; how it ended, if this launcher has started it."""
    words = forks.ending_of(pidfd) or ending_of(pidfd)
    os.close(pidfd)
    return words


def end_leftovers(runner: str, directory: Path) -> None:
    """End every process that belongs to a dead runner; returns when none is left."""
    pause = 0.005
    while fds := [
        *_open_marked(f"{RUNNER}={runner}".encode(), None),
        *_open_marked(f"{MARKER}={runner}".encode(), directory),
    ]:
        for fd in fds:
            send_signal(fd, signal.SIGKILL)
            os.close(fd)
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def _open_marked(marker: bytes, directory: Path | None) -> Iterator[int]:
    """Pidfds of processes that carry ``marker`` in their environment, or work in ``directory``."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            fd = _open(name, marker, directory)
            if fd is not None:
                yield fd


def _open(pid: str, marker: bytes, directory: Path | None) -> int | None:
    if not _belongs(pid, marker, directory):
        return None
    try:
        fd = os.pidfd_open(int(pid))
    except OSError:  # it has ended meanwhile, or is a thread that has
        return None
    if _belongs(pid, marker, directory):  # the pid may have been reused before the pidfd was there
        return fd
    os.close(fd)
    return None


def _belongs(pid: str, marker: bytes, directory: Path | None) -> bool:
    # A zombie has an empty environment and no directory: it is no process that could do anything.
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if marker in file.read().split(b"\0"):
                return True
        return directory is not None and _works_in(pid, directory)
    except OSError:
        return False


def _works_in(pid: str, directory: Path) -> bool:
    """Whether it stands there and has no terminal: a person's shell may look around."""
    where = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    if where != str(directory) and not where.startswith(f"{directory}/"):
        return False
    with open(f"/proc/{pid}/stat", "rb") as file:
        terminal = file.read().rpartition(b")")[2].split()[4]
    return terminal == b"0"


def last_words(directory: Path, limit: int = 500) -> str:
    """The end of a runner's own log."""
    try:
        return (directory / LOG).read_text(encoding="utf-8", errors="replace")[-limit:].strip()
    except OSError:
        return ""
