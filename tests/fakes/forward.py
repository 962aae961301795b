"""A TCP port that leads to a Unix socket, so that pods reach what a test serves; it can be unplugged."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self


class Forward:
    """Listens on ``host`` and splices every connection to ``target``.

    Attributes:
        address: ``http://host:port``.
    """

    def __init__(self, target: Path, host: str) -> None:
        self._target = target
        self._host = host
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._plugged = True
        self._listener = socket.create_server((host, 0), backlog=256)
        self.address = f"http://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def unplug(self) -> None:
        """Break every connection and refuse new ones."""
        self._plugged = False
        self._cut()

    def plug(self) -> None:
        """Let connections through again."""
        self._plugged = True

    def _cut(self) -> None:
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._serve(near)

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        try:
            if not self._plugged:
                raise ConnectionRefusedError
            far.connect(str(self._target))
        except OSError:
            near.close()
            far.close()
            return
        pair = (near, far)
        self._pairs.add(pair)
        done = threading.Semaphore(0)
        for source, sink in (pair, pair[::-1]):
            threading.Thread(target=_copy, args=(source, sink, done), daemon=True).start()
        threading.Thread(target=self._close, args=(pair, done), daemon=True).start()

    def _close(self, pair: tuple[socket.socket, socket.socket], done: threading.Semaphore) -> None:
        for _ in pair:
            done.acquire()
        self._pairs.discard(pair)
        for end in pair:
            end.close()


def _copy(source: socket.socket, sink: socket.socket, done: threading.Semaphore) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    done.release()
