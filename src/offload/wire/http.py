"""HTTP/1.1 over a Unix socket or TCP, with the standard library alone.

The command line and every runner pay for what they import at each start. ``http.client`` costs 30 ms where
the usual client libraries cost 150 to 200 ms, which is the whole allowance of ``offload jobs``.

One :class:`Connection` serves one thread. It repeats a request by itself only when a kept-alive connection
proves dead before any answer; longer patience is the caller's. Every call of our protocols is idempotent.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote, urlsplit

from offload.errors import (
    DiskFullError,
    LauncherUnreachableError,
    SettingsError,
    error_from_json,
    launcher_is_full,
)
from offload.wire.chunked import Parts, send_chunked

CHUNK: Final = 1 << 18
_OK: Final = range(200, 300)
_CONNECT: Final = 5.0
"""Seconds to connect over a network."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _notice_silence(connection: http.client.HTTPConnection) -> None:
    """Ask the kernel to look whether the other end is still there.

    A machine or a pod that is gone says nothing, and a call that waits for its answer would wait for all of
    its timeout.
    """
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if option := getattr(socket, name, None):  # not every system has all of them
            connection.sock.setsockopt(socket.IPPROTO_TCP, option, value)


class _TcpConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        _connect(self, super().connect)


class _TlsConnection(http.client.HTTPConnection):
    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int | None, timeout: float | None, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout)
        self._tls = context

    def connect(self) -> None:
        _connect(self, super().connect)
        # The other end may be let in later than its gateway accepts the connection.
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)


def _connect(connection: http.client.HTTPConnection, connect: Callable[[], None]) -> None:
    """Connect, with less patience than there is for an answer.

    Where nobody listens at a Service yet, packets may be lost without a word, and those of the same attempt
    go on being lost once somebody does.
    """
    patience, connection.timeout = connection.timeout, min(connection.timeout or _CONNECT, _CONNECT)
    try:
        connect()
    finally:
        connection.timeout = patience
    connection.sock.settimeout(patience)
    _notice_silence(connection)


class Response:
    """An answer whose body may still be streaming."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self._raw = raw
        self.status = raw.status

    def header(self, name: str) -> str:
        """A header's value, or the empty string."""
        return self._raw.getheader(name) or ""

    def read(self) -> bytes:
        """The rest of the body; raises ``LauncherUnreachableError`` when it breaks off."""
        try:
            return self._raw.read()
        except (OSError, http.client.HTTPException) as error:
            raise _broken(error) from error

    def chunks(self) -> Iterator[bytes]:
        """Pieces of the body as they arrive; raises ``LauncherUnreachableError`` when it breaks off."""
        try:
            while piece := self._raw.read1(CHUNK):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise _broken(error) from error

    def close(self) -> None:
        """Give up the rest of the body."""
        self._raw.close()


def _broken(error: Exception) -> LauncherUnreachableError:
    return LauncherUnreachableError(f"The launcher's answer broke off: {str(error) or type(error).__name__}.")


class WokenError(Exception):
    """A request was given up before its answer, because there is something new to say."""


class Connection:
    """A connection to a launcher at ``unix:/path``, ``http://host:port`` or ``https://host:port``.

    With ``certificate``, a file in PEM, whoever shows that one is trusted whatever its name, and nobody else.

    Raises:
        SettingsError: the address has another form.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        certificate: Path | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection = _open(address, timeout, certificate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; the next request opens it again."""
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[Parts] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        wake: int | None = None,
    ) -> Response:
        """Send one request and return the answer's head.

        A body that is an iterable is sent chunked, as its parts are produced. ``wake`` is a file descriptor:
        once it can be read, a request that is not answered yet is given up (a long poll that has become
        outdated).

        Raises:
            WokenError: ``wake`` could be read before the answer came.
            LauncherUnreachableError: no connection, or it broke.
            OffloadError: the launcher answered with an error, raised as the class it names.
        """
        send = {**self._headers, **(headers or {})}
        if body is not None:
            send["Content-Type"] = content_type
        try:
            raw = self._exchange(method, path, body, send, wake)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LauncherUnreachableError(
                f"The launcher at {self.address} doesn't answer: {str(error) or type(error).__name__}."
            ) from error
        if raw.status not in _OK:
            raise error_from_json(_error_body(raw))
        return Response(raw)

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[Parts] | None,
        headers: dict[str, str],
        wake: int | None,
    ) -> http.client.HTTPResponse:
        fresh = self._connection.sock is None
        try:
            self._send(method, path, body, headers)
            self._await_answer(wake)
            return self._connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            # A kept-alive connection that the other side closed while idle fails before any answer.
            self.close()
            if fresh or not (body is None or isinstance(body, bytes)):
                raise
        self._send(method, path, body, headers)
        self._await_answer(wake)
        return self._connection.getresponse()

    def _send(
        self, method: str, path: str, body: bytes | Iterable[Parts] | None, headers: dict[str, str]
    ) -> None:
        if body is None or isinstance(body, bytes):
            self._connection.request(method, path, body, headers)
            return
        self._connection.putrequest(method, path)
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        send_chunked(self._connection.sock, body)

    def _await_answer(self, wake: int | None) -> None:
        if wake is None:
            return
        timeout = self._connection.timeout
        ready, _, _ = select.select([self._connection.sock, wake], [], [], timeout)
        if ready == [wake]:
            self.close()
            raise WokenError


def _open(address: str, timeout: float | None, certificate: Path | None) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    if parts.scheme == "unix" and parts.path:
        return _UnixConnection(unquote(parts.path), timeout)
    if parts.scheme == "http" and parts.hostname:
        return _TcpConnection(parts.hostname, parts.port, timeout=timeout)
    if parts.scheme == "https" and parts.hostname:
        context = ssl.create_default_context(cafile=certificate)
        context.check_hostname = certificate is None
        return _TlsConnection(parts.hostname, parts.port, timeout, context)
    raise SettingsError(
        f"{address!r} is not the address of a launcher.",
        next_step="Write it like unix:/run/user/1000/offload/launcher.sock or https://host:port.",
    )


def unix_address(path: str) -> str:
    """The address of a Unix socket."""
    return "unix:" + quote(path)


def _error_body(raw: http.client.HTTPResponse) -> dict[str, Any]:
    text = raw.read()
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and "code" in body:
        return body
    # The answer to HEAD never has a body, so the status is all there is to go by.
    if raw.status == DiskFullError.http_status:
        return launcher_is_full().to_json()
    return {
        "code": "error",
        "sentence": f"The launcher answered {raw.status}: {text[:200]!r}",
        "details": {"status": raw.status},
    }
