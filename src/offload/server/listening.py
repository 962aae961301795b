"""Sockets, the locks beside them, and a uvicorn that doesn't wake up when there is nothing to do."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from offload.errors import LauncherBusyError, SettingsError

_PATIENCE: Final = 5.0
"""Seconds for which a launcher that is just ending is waited for."""
_LOOK_AGAIN: Final = 0.05
_DRAIN: Final = 10
"""Seconds that requests under way get when the launcher ends."""


@contextmanager
def only_one(*paths: Path) -> Iterator[None]:
    """Hold a lock on each of these files, which name the process that does.

    Raises:
        LauncherBusyError: another launcher holds one, and doesn't end within a few seconds.
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            stack.enter_context(_locked(path))
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                raise LauncherBusyError(
                    f"Another launcher (process {holder or 'unknown'}) holds {path}.",
                    next_step="There can be one for the same data; `offload launcher stop` ends it.",
                ) from None
        time.sleep(_LOOK_AGAIN)


def unix_socket(path: Path) -> socket.socket:
    """A listening Unix socket with mode 0600; one that a crash left behind is replaced."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    listening.listen(1024)
    return listening


def tcp_socket(address: str) -> socket.socket:
    """A listening TCP socket at ``host:port``; raises ``SettingsError`` when that can't be had."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"The launcher can't listen on {address}: {error}",
            next_step="Correct `listen` in config.toml.",
        ) from error


class Server(uvicorn.Server):
    """Serves an app until :meth:`end`; over TLS with the key and the certificate in the file ``pem``."""

    def __init__(self, app: ASGIApp, *, pem: Path | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=_DRAIN,
                ssl_certfile=pem,
                ssl_keyfile=pem,
            )
        )
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Accept no more requests, and end when those under way are answered."""
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        """Uvicorn's looks at a flag ten times a second; this one is woken."""
        await self.on_tick(0)
        await self._ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business."""
        yield
