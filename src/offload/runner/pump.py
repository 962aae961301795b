"""From the script's pipes to the spool: unchanged bytes, the first ones at once, many together under load."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import threading
import time
from typing import Final

from offload.runner.spool import Spool
from offload.wire.frames import MAX_PAYLOAD, Stream

_PIPE: Final = 1 << 20
_PAUSE: Final = 0.005
"""Seconds to let a busy script fill its pipe: 10,000 lines a second become 200 frames a second."""
_BUSY: Final = 0.02
_PLENTY: Final = 1 << 16
_REMEMBERED: Final = 1 << 13
"""Bytes of stderr, the last ones, in which the reason of a failure is looked for."""


class Pump(threading.Thread):
    """Reads stdout and stderr of one attempt until both end, or until told that nobody writes any more.

    Attributes:
        problem: why output could not be kept; empty when all of it was.
        complaints: the last that was written to stderr.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__(name="pump", daemon=True)
        self._spool = spool
        self._selector = selectors.DefaultSelector()
        self._last = {Stream.STDOUT: 0.0, Stream.STDERR: 0.0}
        self._finishing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._finishing, selectors.EVENT_READ)
        self.problem = ""
        self.complaints = b""

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
        self._selector.register(read, selectors.EVENT_READ, stream)

    def finish(self) -> None:
        """Take what is in the pipes now and end, even if a stranger holds a writing end open."""
        os.eventfd_write(self._finishing, 1)
        self.join()
        self._selector.close()
        os.close(self._finishing)

    def run(self) -> None:
        """Pump until the pipes are empty and closed, or :meth:`finish` was called."""
        finishing = False
        while len(self._selector.get_map()) > 1 and not finishing:
            ready = self._selector.select()
            finishing = any(key.data is None for key, _ in ready)
            for key, _ in ready:
                if key.data is not None:
                    self._read(key.fd, key.data)
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                while self._read(key.fd, key.data):
                    pass
                self._close(key.fd)

    def _read(self, fd: int, stream: Stream) -> bool:
        """Move one piece; False when the pipe has nothing (more)."""
        try:
            data = os.read(fd, MAX_PAYLOAD)
        except BlockingIOError:
            return False
        if not data:
            self._close(fd)
            return False
        self._keep(stream, data)
        now = time.monotonic()
        if now - self._last[stream] < _BUSY and len(data) < _PLENTY:
            time.sleep(_PAUSE)
        self._last[stream] = now
        return True

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
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
            os.close(fd)
