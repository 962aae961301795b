"""From the script's pipes to the spool: unchanged bytes, soon, and many together under load.

One thread serves all attempts of a runner. It sleeps in the kernel until a pipe has something, so that an
attempt need not wait for a thread to begin or to end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Final

from offload.runner.spool import Spool
from offload.wire.frames import MAX_PAYLOAD, Stream

_PIPE: Final = 1 << 20
_PIECES: Final = 0.002
"""Seconds to wait for the rest of a line: R writes `[1] 1` in three pieces."""
_PAUSE: Final = 0.005
"""Seconds to let a busy script fill its pipe: 10,000 lines a second become 200 frames a second."""
_BUSY: Final = 0.02
"""Seconds after which a script that prints again isn't busy."""
_PLENTY: Final = 1 << 16
"""Bytes of one piece; there is more where that came from."""
_REMEMBERED: Final = 1 << 13
"""Bytes of stderr, the last ones, in which the reason of a failure is looked for."""


class Flow:
    """Output of one attempt.

    Attributes:
        problem: why output could not be kept; empty when all of it was.
        complaints: the last that was written to stderr.
    """

    def __init__(self, pump: Pump, spool: Spool) -> None:
        self._pump = pump
        self._spool = spool
        self._pipes: dict[int, Stream] = {}
        self._last = {Stream.STDOUT: 0.0, Stream.STDERR: 0.0}
        self._has_plenty = False
        self._over = threading.Event()
        self.is_ending = False
        self.problem = ""
        self.complaints = b""

    # --- the attempt's side ---------------------------------------------------------------------------

    def open(self, stream: Stream) -> int:
        """The writing end of a new pipe; the caller closes it once the script has it."""
        read, write = os.pipe2(os.O_CLOEXEC)
        self.receive(stream, read)
        return write

    def receive(self, stream: Stream, read: int) -> None:
        """Take over the reading end of a pipe."""
        os.set_blocking(read, False)
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up
            fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, _PIPE)
        self._pipes[read] = stream
        self._pump.watch(read, self)

    def finish(self) -> None:
        """Take what is in the pipes now and end, even if a stranger holds a writing end open."""
        self.is_ending = True
        if self._pipes:
            self._pump.wake()
            self._over.wait()

    # --- the pump's side ------------------------------------------------------------------------------

    def let_more_come(self, fd: int) -> None:
        """Give the script a moment, unless it fills its pipe anyway or has ended."""
        if not (self._has_plenty or self.is_ending):
            is_busy = time.monotonic() - self._last[self._pipes[fd]] < _BUSY
            self._pump.rest(_PAUSE if is_busy else _PIECES)

    def read(self, fd: int) -> bool:
        """Move one piece; False when the pipe has nothing (more)."""
        try:
            data = os.read(fd, MAX_PAYLOAD)
        except BlockingIOError:
            return False
        if not data:
            self._close(fd)
            return False
        stream = self._pipes[fd]
        self._keep(stream, data)
        self._last[stream] = time.monotonic()
        self._has_plenty = len(data) >= _PLENTY
        return True

    def drain(self) -> None:
        """Move what is there, and close."""
        for fd in list(self._pipes):
            while self.read(fd):
                pass
            self._close(fd)

    def _keep(self, stream: Stream, data: bytes) -> None:
        if stream is Stream.STDERR:
            self.complaints = (self.complaints + data[-_REMEMBERED:])[-_REMEMBERED:]
        if self.problem:
            return
        try:
            self._spool.append(stream, data)
        except OSError as error:
            self.problem = f"The script's output could not be kept on the cluster: {error}."

    def _close(self, fd: int) -> None:
        if fd not in self._pipes:
            return
        self._pump.forget(fd)
        os.close(fd)
        del self._pipes[fd]
        if not self._pipes:
            self._over.set()


class Pump(threading.Thread):
    """Moves what the scripts of a runner print, for as long as the runner lives."""

    def __init__(self) -> None:
        super().__init__(name="pump", daemon=True)
        self._flows: dict[int, Flow] = {}
        self._poll = select.epoll()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._woken, select.EPOLLIN)
        self._is_closing = False

    @contextlib.contextmanager
    def serve(self, spool: Spool) -> Iterator[Flow]:
        """Move an attempt's output into its spool; after the body all of it is there."""
        flow = Flow(self, spool)
        try:
            yield flow
        finally:
            flow.finish()

    def close(self) -> None:
        """End the thread; every flow is finished."""
        self._is_closing = True
        self.wake()
        self.join()
        self._poll.close()
        os.close(self._woken)

    def wake(self) -> None:
        """Let the thread look for flows that end."""
        os.eventfd_write(self._woken, 1)

    def rest(self, seconds: float) -> None:
        """Wait, unless a flow ends."""
        select.select([self._woken], [], [], seconds)

    def watch(self, fd: int, flow: Flow) -> None:
        """Tell the flow whenever there is something to read."""
        self._flows[fd] = flow
        self._poll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Watch it no longer."""
        self._poll.unregister(fd)
        del self._flows[fd]

    def run(self) -> None:
        """Pump until closed."""
        while not self._is_closing:
            for fd, events in self._poll.poll():
                if flow := self._flows.get(fd):
                    if not events & select.EPOLLHUP:  # else nobody writes any more
                        flow.let_more_come(fd)
                    flow.read(fd)
                elif fd == self._woken:
                    os.eventfd_read(fd)
                    self._end()

    def _end(self) -> None:
        for flow in {flow for flow in list(self._flows.values()) if flow.is_ending}:
            flow.drain()
