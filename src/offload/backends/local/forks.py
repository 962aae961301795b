"""Runners by fork: the launcher's end of :mod:`offload.runner.forkserver`.

It only makes a start faster. Whatever is wrong with it, a runner is started the plain way; and what it has
forked lives on without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
from collections.abc import Mapping
from typing import Final

from offload.backends.local.spawn import ending_of, send_signal, session_environment, spawn
from offload.wire.forking import GO, LARGEST, READY, ROOM, Reap, Start

_SERVER: Final = "offload.runner.forkserver"
_PATIENCE: Final = 2.0
"""Seconds in which a fork must have happened."""
_SPACE: Final = 1 << 13
"""Bytes by which the environment of a runner may be larger than that of the server."""
_log = logging.getLogger(__name__)


class Forks:
    """A fork server that comes and goes."""

    def __init__(self) -> None:
        self._server: int | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._pids: dict[int, int] = {}

    def prepare(self) -> None:
        """Start the server, unless it is there."""
        if self._server is not None and not _can_be_read(self._server):
            return
        self.close()
        env = {**session_environment(), ROOM: "." * _SPACE}
        try:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket.settimeout(_PATIENCE)
            with theirs:
                self._server = spawn(_SERVER, env, log=os.devnull, stdin=theirs.fileno())
        except OSError as error:
            _log.info("There is no fork server: %s", error)
            self.close()

    def start(self, env: Mapping[str, str], log: str) -> int | None:
        """Fork a runner; its pidfd, or None when there is no server that can.

        Raises:
            OSError: there is one, and it says why it can't.
        """
        if not self._can_fork():
            return None
        encoded = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
        message = Start(log, encoded).encode()
        if len(message) > LARGEST:
            return None
        answer, gates = self._ask(message)
        if not answer:
            return None
        if (pid := int(answer)) < 0:
            raise OSError(-pid, os.strerror(-pid), log)
        if not gates:  # there are too many open files
            return None
        try:
            pidfd = os.pidfd_open(pid)
            self._pids[pidfd] = pid
            os.write(gates[0], GO)  # until then it waits, and without it, it ends
        finally:
            os.close(gates[0])
        return pidfd

    def _can_fork(self) -> bool:
        if self._socket and not self._is_ready and _can_be_read(self._socket.fileno()):
            with contextlib.suppress(OSError):
                self._is_ready = self._socket.recv(LARGEST) == READY
        return self._is_ready

    def ending_of(self, pidfd: int) -> str:
        """How a runner ended; empty if nobody can tell, or it wasn't forked here."""
        pid = self._pids.pop(pidfd, None)
        return self._ask(Reap(pid).encode())[0] if pid else ""

    def _ask(self, message: bytes) -> tuple[str, list[int]]:
        """The answer, and what came with it; no answer if there is no server, or it didn't speak in time."""
        answer, files = b"", list[int]()
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.send(message)
                answer, files, *_ = socket.recv_fds(self._socket, LARGEST, 1, socket.MSG_CMSG_CLOEXEC)
            if not answer:
                self.close()
        return answer.decode(), files

    def close(self) -> None:
        """End the server, and none of the runners."""
        self._is_ready = False
        self._pids.clear()
        if self._socket:
            self._socket.close()
            self._socket = None
        if self._server is not None:
            send_signal(self._server, signal.SIGKILL)
            ending_of(self._server)
            os.close(self._server)
            self._server = None


def _can_be_read(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
