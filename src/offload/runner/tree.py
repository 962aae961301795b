"""Every process below this one, and how to be rid of them.

The runner is a *child subreaper*: a descendant whose parent dies becomes the runner's child, however often it
forked or called ``setsid``. So ``/proc`` shows the whole tree at any time, and when ``wait`` says that there
is no child, there is no descendant either.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from resource import struct_rusage
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_REMEMBERED: Final = 1.0
"""Seconds."""
UNKILLABLE: Final = 30.0
"""Seconds after which a process that survives SIGKILL (stuck in the kernel) is left behind."""


def become_subreaper() -> None:
    """From now on orphaned descendants become children of this process."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(root: int) -> list[int]:
    """Process ids below ``root``, parents before children."""
    return _below([root], _children(except_for=frozenset()))


class Kin:
    """Finds the processes below one again and again, for a fraction of what :func:`descendants` costs.

    Most processes of a machine are strangers, and a stranger stays one: only a descendant can become a child
    of the subreaper. So who was seen to descend from elsewhere isn't looked at again, but for a second only,
    because its id may be given to somebody new.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._strangers: set[int] = set()
        self._until = 0.0

    def look(self) -> list[int]:
        """Process ids below the root, parents before children."""
        if (now := time.monotonic()) >= self._until:
            self._strangers.clear()
            self._until = now + _REMEMBERED
        children = _children(except_for=self._strangers)
        kin = _below([self._root], children)
        # Whose parent ended a moment ago descends from nobody now: that is no proof.
        children.pop(self._root, None)
        self._strangers.update(_below([0, *self._strangers], children))
        return kin


def _children(*, except_for: AbstractSet[int]) -> defaultdict[int, list[int]]:
    """Process ids by their parent's."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit() and (pid := int(name)) not in except_for:
            with contextlib.suppress(OSError, ValueError, IndexError):
                children[_parent(pid)].append(pid)
    return children


def _below(roots: list[int], children: defaultdict[int, list[int]]) -> list[int]:
    found = list(roots)
    for pid in found:
        found += children[pid]
    return found[len(roots) :]


def _parent(pid: int) -> int:
    # "pid (name) state ppid …"; the name may hold spaces and parentheses.
    return int(_read(pid, "stat").rpartition(b")")[2].split()[1])


def _read(pid: int, name: str) -> bytes:
    """A short file of a process; an ordinary ``open`` asks the kernel three more things about it."""
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def high_water(pid: int) -> int:
    """Bytes of RAM that a process has mapped at most."""
    return next(
        (
            int(line.split()[1]) << 10
            for line in _read(pid, "status").splitlines()
            if line.startswith(b"VmHWM:")
        ),
        0,
    )


def resident(pid: int) -> int:
    """Bytes of RAM that a process maps, shared ones included; 0 when it is gone."""
    try:
        return int(_read(pid, "statm").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Bytes of RAM with shared pages divided among those who share them; costs milliseconds a gigabyte."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(b"Pss:")), 0)
    except OSError:
        return 0


@dataclass(slots=True)
class Reaped:
    """What ``wait`` told about ended children.

    Attributes:
        status: raw wait status by process id.
        cpu: seconds, user and system, of all of them and of those that they waited for.
        largest: bytes, the largest resident set of any single one.
    """

    status: dict[int, int] = field(default_factory=dict)
    cpu: float = 0.0
    largest: int = 0

    def collect(self) -> bool:
        """Wait for what has ended; False when no child is left at all."""
        try:
            for pid, status, rusage in _ended():
                self.status[pid] = status
                self.cpu += rusage.ru_utime + rusage.ru_stime
                self.largest = max(self.largest, rusage.ru_maxrss << 10)
        except ChildProcessError:
            return False
        return True


def _ended() -> Iterator[tuple[int, int, struct_rusage]]:
    while True:
        pid, status, rusage = os.wait4(-1, os.WNOHANG)
        if not pid:
            return
        yield pid, status, rusage


def signal_all(number: signal.Signals) -> None:
    """Send a signal to every descendant of this process."""
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def sweep(reaped: Reaped, *, linger: float, grace: float) -> bool:
    """End every descendant: ``linger`` seconds to end by themselves, SIGTERM, ``grace`` seconds, SIGKILL.

    Returns whether none is left; only a process stuck in the kernel can be.
    """
    if _none_within(reaped, linger):
        return True
    if grace > 0:
        signal_all(signal.SIGTERM)
        if _none_within(reaped, grace):
            return True
    until = time.monotonic() + UNKILLABLE
    while time.monotonic() < until:
        signal_all(signal.SIGKILL)
        if _none_within(reaped, 0.1):
            return True
    return False


def _none_within(reaped: Reaped, seconds: float) -> bool:
    until = time.monotonic() + seconds
    pause = 0.001
    while reaped.collect():
        if time.monotonic() >= until:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True
