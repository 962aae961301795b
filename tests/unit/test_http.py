"""How a connection to a launcher behaves where the other end is silent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from offload.errors import LauncherUnreachableError
from offload.wire import http
from offload.wire.chunked import send_chunked
from offload.wire.http import Connection


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address where packets that begin a connection are lost without a word."""
    with contextlib.ExitStack() as ends:
        listening = ends.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # until the queue of those that nobody accepts is full
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_connecting_takes_less_patience_than_waiting_for_an_answer(deaf, monkeypatch):
    monkeypatch.setattr(http, "_CONNECT", 0.3)
    began = time.monotonic()
    with Connection(deaf, timeout=60.0) as connection, pytest.raises(LauncherUnreachableError):
        connection.request("GET", "/v1/healthz")
    assert 0.3 <= time.monotonic() - began < 20


def test_the_kernel_looks_whether_the_other_end_is_still_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Connection(address, timeout=0.1) as connection:
            with pytest.raises(LauncherUnreachableError):
                connection.request("GET", "/v1/healthz")
            connection._connection.connect()
            assert connection._connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection._connection.sock.gettimeout() == 0.1


def test_a_body_of_many_parts_arrives_whole_through_a_narrow_socket():
    rows = [
        [bytes([n % 251]) * (n % 7) for n in range(1300)],
        [],
        [b""],
        [memoryview(b"x" * 3_000_000), b"end"],
    ]
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sending = threading.Thread(target=send_chunked, args=(near, iter(rows)))
        sending.start()
        got = bytearray()
        while not got.endswith(b"\r\n0\r\n\r\n"):
            got += far.recv(1000)
        sending.join()
    body = bytearray()
    while size := int(got[: (at := got.index(b"\r\n"))], 16):
        body += got[at + 2 : at + 2 + size]
        assert got[at + 2 + size : at + 4 + size] == b"\r\n"
        del got[: at + 4 + size]
    assert bytes(body) == b"".join(part for row in rows for part in row)
