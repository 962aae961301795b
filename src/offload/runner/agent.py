"""The runner's end of the agent: process 1 of the container that scripts run in, see ``languages/agent.sh``.

They share a volume and nothing else, so they talk through named pipes on it. The agent holds the writing end
of ``answers`` open for life and its children don't, so the end of that pipe is the agent's end. The runner
holds the other two open in the same way: when it dies, the agent ends everything, itself included.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

_FOR_ALL: Final = 0o755
_PIPE_FOR_ALL: Final = 0o666
"""The containers may run as different users; what they share is theirs alone in any case."""


class AgentGone(Exception):  # noqa: N818  it is a fact, not an error
    """The agent ended, and so did everything in its container."""


class Agent(threading.Thread):
    """Listens to the agent, and passes on what the main thread wants of it.

    Args:
        directory: the shared one.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(name="agent", daemon=True)
        self._control = directory / "control"
        self._answers: deque[str] = deque()
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ready = False
        self._gone = False
        self._ending = False
        self._when_ending: Callable[[], None] = lambda: None
        self._last = b""
        self._runs = 0

    def open(self) -> None:
        """Make the pipes, unless an earlier runner did, and begin to listen."""
        make_directory(self._control)
        for name in ("orders", "signals", "answers"):  # the agent waits for the last one
            make_pipe(self._control / name)
        # With both ends open, neither opening nor writing has to wait for the agent.
        self._orders = os.open(self._control / "orders", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = os.open(self._control / "signals", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._heard = os.open(self._control / "answers", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.start()

    # --- what the main thread wants -----------------------------------------------------------------

    def wait(self, pause: Callable[[int], None]) -> bool:
        """Wait for the agent's container, as long as it takes; False when it must end already.

        ``pause``: waits until a file descriptor can be read.
        """
        while not (self._ready or self._ending):
            pause(self._news)
            with contextlib.suppress(BlockingIOError):  # it was a signal
                os.eventfd_read(self._news)
        return self._ready and not self._ending

    @property
    def is_ending(self) -> bool:
        """Whether the cluster wants the container to end, or it has."""
        return self._ending

    def when_ending(self, tell: Callable[[], None]) -> None:
        """Call ``tell``, from any thread, once the cluster wants the container to end, or it has."""
        self._when_ending = tell
        if self._ending:
            tell()

    def new_run(self, text: bytes) -> tuple[int, Path]:
        """Lay out a command: its number, and the directory with its pipes ``out`` and ``err``."""
        self._runs += 1
        directory = self._control / str(self._runs)
        make_directory(directory)
        for name in ("out", "err"):
            make_pipe(directory / name)
        command = directory / "command"
        command.write_bytes(text)
        command.chmod(0o644)
        return self._runs, directory

    def forget_run(self, directory: Path) -> None:
        """Remove what :meth:`new_run` made."""
        shutil.rmtree(directory, ignore_errors=True)

    def order(self, text: str) -> None:
        """Tell the agent itself, which listens while no command runs."""
        self._last = text.encode() + b"\n"
        os.write(self._orders, self._last)

    def meanwhile(self, text: str) -> None:
        """Tell it while a command runs."""
        os.write(self._signals, text.encode() + b"\n")

    def stop(self, status: int) -> None:
        """Let the container end, with this exit status, whatever it does."""
        for tell in (self.meanwhile, self.order):
            with contextlib.suppress(BlockingIOError):  # nobody has read for long: it is gone
                tell(f"stop {status}")

    def hear(self, timeout: float | None, *others: int) -> list[str]:
        """The words of the next answer; none when time is over or one of the ``others`` can be read.

        Raises:
            AgentGone: there will be no more.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._answers:
            if self._gone:
                raise AgentGone
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._news, *others], [], [], left)
            if self._news in ready:
                os.eventfd_read(self._news)
            elif not self._answers:
                return []
        return self._answers.popleft().split()

    # --- the thread -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Listen until the agent is gone."""
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)  # silent, not at its end, until the agent comes
        rest = b""
        while True:
            poll.poll()
            data = os.read(self._heard, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode("ascii", "replace"))
        self._gone = True
        self._end()

    def _take(self, line: str) -> None:
        if line == "ready":
            self._ready = True
            os.eventfd_write(self._news, 1)
        elif line == "term":
            self._end()
        elif line == "again":
            os.write(self._orders, self._last)
        else:
            self._answers.append(line)
            os.eventfd_write(self._news, 1)

    def _end(self) -> None:
        self._ending = True
        self._when_ending()
        os.eventfd_write(self._news, 1)


def make_directory(path: Path) -> None:
    """One that both containers can read, whatever the umask."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(_FOR_ALL)


def make_pipe(path: Path) -> None:
    """One that both containers can use."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
        path.chmod(_PIPE_FOR_ALL)
