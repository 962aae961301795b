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

from offload.backends.local.spawn import ending_of, session_environment, spawn
from offload.wire.forking import LARGEST, READY, ROOM, Reap, Start

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
        if self._server is not None and not select.select([self._server], [], [], 0)[0]:
            return
        self.close()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_PATIENCE)
        env = {**session_environment(), ROOM: "." * _SPACE}
        try:
            with theirs:
                self._server = spawn(_SERVER, env, log=os.devnull, stdin=theirs.fileno())
        except OSError as error:
            _log.info("There is no fork server: %s", error)
            self.close()

    def start(self, env: Mapping[str, str], log: str) -> int | None:
        """Fork a runner; its pidfd, or None when there is no server that can."""
        encoded = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
        message = Start(log, encoded).encode()
        if len(message) > LARGEST or not self._can_fork() or not (answer := self._ask(message)):
            return None
        pidfd = os.pidfd_open(int(answer))
        self._pids[pidfd] = int(answer)
        return pidfd

    def _can_fork(self) -> bool:
        if self._socket and not self._is_ready:
            with contextlib.suppress(OSError):  # it is still importing
                self._is_ready = self._socket.recv(LARGEST, socket.MSG_DONTWAIT) == READY
        return self._is_ready

    def ending_of(self, pidfd: int) -> str:
        """How a runner ended; empty if nobody can tell, or it wasn't forked here."""
        pid = self._pids.pop(pidfd, None)
        return self._ask(Reap(pid).encode()) if pid else ""

    def _ask(self, message: bytes) -> str:
        answer = b""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.send(message)
                answer = self._socket.recv(LARGEST)
            if not answer:
                self.close()
        return answer.decode()

    def close(self) -> None:
        """End the server, and none of the runners."""
        self._is_ready = False
        self._pids.clear()
        if self._socket:
            self._socket.close()
            self._socket = None
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._server, signal.SIGKILL)
            ending_of(self._server)
            os.close(self._server)
            self._server = None
