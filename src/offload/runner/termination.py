"""SIGTERM to the runner: what to do when it comes, and how to wait without missing it.

Python runs a signal's handler between two of its own instructions. A signal that comes after the last of
these and before a call that waits in the kernel would wait with it, perhaps for ever. But at once, whatever
thread it hits, the interpreter writes a byte to a file descriptor (:func:`signal.set_wakeup_fd`), and whoever
waits for that one as well wakes up, and so lets the handler run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable


class Termination:
    """The way in which this process is told to end. There is one, and its main thread made it."""

    def __init__(self) -> None:
        self._has_come = False
        self._signalled, tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def then(self, act: Callable[[], object]) -> None:
        """From now on, do this when it comes."""

        def handle(*_: object) -> None:
            self._has_come = True
            act()

        signal.signal(signal.SIGTERM, handle)

    def pause(self, *fds: int) -> None:
        """Wait until one of these can be read, or for some signal, the handler of which has run then."""
        select.select([self._signalled, *fds], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(self._signalled, 1 << 12)

    def wait(self) -> None:
        """Return once SIGTERM has come."""
        self.then(lambda: None)
        while not self._has_come:
            self.pause()
