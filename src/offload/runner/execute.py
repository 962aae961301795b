"""One command, executed: started, watched, ended when it must be, and its whole process tree with it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.model.warning import EarlyWarning
from offload.runner.discipline import Discipline
from offload.runner.guard import Guard
from offload.runner.memory import Memory
from offload.runner.pump import Flow
from offload.runner.tree import Kin, Reaped, become_subreaper, high_water, sweep
from offload.runner.verdict import Cause
from offload.wire.frames import Stream

LINGER: Final = 1.0
"""Seconds that helpers of a script (a `tee`, a logger) may take to end by themselves after it."""
HELPERS_GRACE: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute and within which limits.

    Attributes:
        argv: command and arguments.
        cwd: where.
        env: the whole environment; its ``PATH`` finds the command. In another container, what is added to
            the one that is there.
        memory: limit in bytes that the kernel keeps, or None.
        defaults: names in ``env`` that give way to what the other container sets.
        stdin: a file, or None for empty input.
        time_limit: seconds, or None.
        grace: seconds between SIGTERM and SIGKILL.
        warn: the signal that comes before the time limit, or None.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin: Path | None
    time_limit: float | None
    grace: float
    defaults: frozenset[str] = frozenset()
    memory: int | None = None
    warn: EarlyWarning | None = None

    def discipline(self, started: float) -> Discipline:
        """What ends it, counted from ``started``."""
        return Discipline(started=started, time_limit=self.time_limit, grace=self.grace, warn=self.warn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it went.

    Attributes:
        code: exit status, or -n for signal n.
        cause: what was done to it.
        wall: seconds of the command itself.
        cpu: seconds, of the whole tree.
        peak: bytes, of the whole tree.
        kernel_killed: whether the kernel ended a process for its memory.
        clean: whether no process is left.
        warned: whether the warning before the time limit was sent.
    """

    code: int
    cause: Cause
    wall: float
    cpu: float
    peak: int
    kernel_killed: bool
    clean: bool
    warned: bool = False


class Control:
    """What others want of the running attempt; they set it from their threads, the main thread looks.

    They may do so while the attempt ends, and take no lock. So the descriptor is open as long as anybody has
    the control.
    """

    def __init__(self) -> None:
        self.will = Cause.NOTHING
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self.fd)

    def want(self, cause: Cause) -> None:
        """Cancel, evict or drop; a drop outranks the others, and otherwise the first stands."""
        if cause is Cause.DROP or self.will is Cause.NOTHING:
            self.will = cause
            os.eventfd_write(self.fd, 1)

    def heard(self) -> None:
        """Let the descriptor be quiet until something new is wanted."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)


class Executor:
    """Executes commands as children of this process, one after another, and none of them outlives it.

    Makes the process a subreaper, so there must be one of these only.

    Args:
        name: of the runner.

    Attributes:
        kin: the processes of the command under way.
    """

    def __init__(self, name: str) -> None:
        self._guard = Guard(name)
        become_subreaper()
        self.kin = Kin(os.getpid())

    def run(self, command: Command, control: Control, flow: Flow, memory: Memory) -> Ended:
        """Run the command to its end; returns when no process of it is left.

        Raises:
            OSError: the command can't be started.
        """
        reaped, own_peak = Reaped(), high_water(os.getpid())
        process = _start(command, flow, memory.join)
        started = time.monotonic()
        discipline = command.discipline(started)
        with self._guard.over(process.pid):
            _watch(process.pid, discipline, control, memory, reaped)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(reaped.status[process.pid])
            clean = _sweep(discipline, command.grace, reaped)
        return Ended(
            code=process.returncode,
            cause=discipline.cause,
            wall=wall,
            cpu=reaped.cpu,
            # A child starts with its parent's high-water mark, so a small one says nothing of its own.
            peak=max(memory.peak, reaped.largest if reaped.largest > own_peak or not memory.peak else 0),
            kernel_killed=memory.kernel_killed(),
            clean=clean,
            warned=discipline.warned,
        )


def _sweep(discipline: Discipline, grace: float, reaped: Reaped) -> bool:
    """End what the command has left behind; whether none is left."""
    linger = LINGER if discipline.cause is Cause.NOTHING else 0.0
    return sweep(reaped, linger=linger, grace=0.0 if discipline.killed else min(grace, HELPERS_GRACE))


def _start(command: Command, flow: Flow, join: Callable[[], None] | None) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as ends:

        def end(fd: int) -> int:
            ends.callback(os.close, fd)
            return fd

        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=command.env,
            stdin=end(os.open(command.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC)),
            stdout=end(flow.open(Stream.STDOUT)),
            stderr=end(flow.open(Stream.STDERR)),
            start_new_session=True,
            preexec_fn=join,  # noqa: PLW1509  it takes no lock: a write
        )


def _watch(pid: int, discipline: Discipline, control: Control, memory: Memory, reaped: Reaped) -> None:
    """Return once the command itself has ended and was waited for."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control.fd, select.POLLIN)
    look_at = time.monotonic() + 0.01
    try:
        while True:
            now = time.monotonic()
            over_memory = False
            if now >= look_at:
                over_memory = memory.look()
                look_at = time.monotonic() + memory.interval
            if number := discipline.decide(now, will=control.will, over_memory=over_memory):
                # A warning is for the script, an end for all that it started.
                if discipline.cause is Cause.NOTHING:
                    signal.pidfd_send_signal(pidfd, number)
                else:
                    os.killpg(pid, number)
            due = discipline.due(now)
            until = min(look_at - now, due if due is not None else look_at - now)
            for fd, _ in poll.poll(max(0.0, until) * 1000):
                if fd == control.fd:
                    control.heard()
            reaped.collect()
            if pid in reaped.status:
                return
    finally:
        os.close(pidfd)
