"""The body of a request whose length nobody knows yet, sent from where its parts lie in memory.

``http.client`` joins every chunk with its frame, which writes all bytes to fresh memory twice more; for the
many megabytes of a first snapshot that costs more than sending them. Here the kernel gathers frame and parts.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Final

Parts = list[bytes | memoryview]
"""Bytes that follow one another."""
_GATHERED: Final = 512
"""Parts of one call; Linux takes 1024."""


def send_chunked(to: socket.socket, body: Iterable[Parts]) -> None:
    """Send a body in chunked encoding, a chunk for each row of parts; ``OSError`` when that fails."""
    for parts in body:
        if size := sum(map(len, parts)):
            _send(to, [b"%X\r\n" % size, *parts, b"\r\n"])
    to.sendall(b"0\r\n\r\n")


def _send(to: socket.socket, parts: Parts) -> None:
    if isinstance(to, ssl.SSLSocket):  # it encrypts into memory of its own, and can't gather
        to.sendall(b"".join(parts))
        return
    at = 0
    while at < len(parts):
        sent = to.sendmsg(parts[at : at + _GATHERED])
        while at < len(parts) and sent >= len(parts[at]):
            sent -= len(parts[at])
            at += 1
        if sent:
            parts[at] = memoryview(parts[at])[sent:]
