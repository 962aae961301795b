"""Requests to one API server: TLS, credentials, what to do about 401 and 429, and errors with a meaning.

One answer of 401 makes the credentials be fetched anew and the request be sent again, once: the server did
nothing yet, so this is safe for every verb. The same holds for 429, for as long as a caller would wait for an
answer. Nothing else is repeated here; who asks knows what is worth repeating.

Proxies come from the kubeconfig alone: a launcher that a person's shell started must not depend on what
``HTTPS_PROXY`` was there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeAlias, TypeVar

import httpx2

from offload.backends.kubernetes.access import Access
from offload.backends.kubernetes.api_errors import (
    ApiUnreachableError,
    KubernetesError,
    Status,
    TooManyRequestsError,
    UnauthorizedError,
    api_error,
)
from offload.backends.kubernetes.credentials import Credential, Credentials
from offload.backends.kubernetes.tls import tls_context
from offload.wire.version import VERSION

__all__ = ["Connect", "Request", "Transport"]

T = TypeVar("T")
Connect: TypeAlias = Callable[[Access, Credential, str, str], Awaitable[T]]

_TICK: Final = 2.0
"""Seconds: the header has whole ones, and the answer was under way."""
_HANDSHAKE: Final = 1.0
"""Seconds that a cancelled request may take to come to a point where it can be dropped."""
_LIMITS: Final = httpx2.Limits(max_connections=100, max_keepalive_connections=10, keepalive_expiry=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: HTTP method.
        path: from ``/api`` or ``/apis`` on.
        what: what it is for, as an infinitive without "to", for errors.
        query: parameters; empty ones are left out.
        body: JSON.
        content_type: of the body.
        silence: seconds that the server may say nothing; the transport's timeout by default.
    """

    method: str
    path: str
    what: str
    query: Mapping[str, Any] | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    silence: float | None = None


class Transport:
    """Sends requests to the API server of ``access``; ``timeout`` is in seconds, for each step of one.

    Attributes:
        ahead: seconds by which the server's clock is ahead of ours; differences of a second don't count.
    """

    def __init__(self, access: Access, credentials: Credentials, *, timeout: float) -> None:
        self._access = access
        self._credentials = credentials
        self._timeout = timeout
        self._connections: _Connections | None = None
        self.ahead = 0.0

    async def call(self, request: Request) -> bytes:
        """The body of the answer.

        Raises:
            KubernetesError: the class says what it means.
        """
        async with self.open(request) as response:
            return await response.aread()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[httpx2.Response]:
        """The answer before its body, which the caller reads; errors as in :meth:`call`."""
        patience, renewed = self._timeout, False
        while True:
            shown = await self._credentials.current()
            async with self._answer(request, shown) as response:
                if response.is_success:
                    yield response
                    return
                refusal = await _refusal(response, request)
            if isinstance(refusal, UnauthorizedError) and not renewed:
                renewed = True
                if await self._credentials.refused(shown):
                    continue
            if isinstance(refusal, TooManyRequestsError) and 0 < refusal.retry_after <= patience:
                patience -= refusal.retry_after
                await asyncio.sleep(refusal.retry_after)
                continue
            raise refusal

    async def upgrade(self, path: str, what: str, connect: Connect[T]) -> T:
        """What ``connect`` makes of the credentials; it may refuse them once, and gets fresh ones then.

        Args:
            path: from ``/api`` or ``/apis`` on.
            what: what it is for, as an infinitive without "to".
            connect: opens a connection of another kind to the API server.

        Raises:
            KubernetesError: what ``connect`` raises.
        """
        shown = await self._credentials.current()
        try:
            return await connect(self._access, shown, path, what)
        except UnauthorizedError:
            if not await self._credentials.refused(shown):
                raise
        return await connect(self._access, await self._credentials.current(), path, what)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.client.aclose()
            self._connections = None

    @asynccontextmanager
    async def _answer(self, request: Request, shown: Credential) -> AsyncIterator[httpx2.Response]:
        connections = await self._connected(shown)
        timeout = httpx2.Timeout(self._timeout, read=request.silence or self._timeout)
        built = connections.client.build_request(
            request.method,
            self._access.server + request.path,
            params={key: value for key, value in (request.query or {}).items() if value not in {"", None}},
            content=request.body,
            headers=self._headers(request, shown),
            timeout=timeout,
            extensions={"sni_hostname": name} if (name := self._access.tls_server_name) else None,
        )
        try:
            async with connections.used():
                response = await _send(connections.client, built)
                self.ahead = _ahead(response.headers.get("Date"), self.ahead)
                try:
                    yield response
                finally:
                    await response.aclose()
        except httpx2.RequestError as error:
            raise _unreachable(error, request, timeout) from error

    def _headers(self, request: Request, shown: Credential) -> list[tuple[str, str]]:
        headers = [("Accept", "application/json"), ("User-Agent", f"offload/{VERSION}")]
        if request.body is not None:
            headers.append(("Content-Type", request.content_type))
        return headers + shown.headers(self._access)

    async def _connected(self, shown: Credential) -> _Connections:
        """The connections that show this certificate; those of an older one end when nobody uses them."""
        certificate = (shown.certificate, shown.key)
        if self._connections is None or self._connections.certificate != certificate:
            old, self._connections = self._connections, _Connections(self._access, shown)
            if old is not None:
                await old.retire()
        return self._connections


class _Connections:
    """Open connections that were made with one client certificate, or none."""

    def __init__(self, access: Access, shown: Credential) -> None:
        self.certificate = (shown.certificate, shown.key)
        self.client = httpx2.AsyncClient(
            verify=tls_context(access, shown) or False,
            proxy=access.proxy_url,
            trust_env=False,
            limits=_LIMITS,
        )
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._users:
            await self.client.aclose()


def _ahead(date: str | None, known: float) -> float:
    """By how many seconds a ``Date`` header is ahead of our clock; what is known if it can't be read."""
    try:
        ahead = parsedate_to_datetime(date).timestamp() - time.time() if date else known
    except ValueError:
        return known
    return ahead if abs(ahead) > _TICK else 0.0


async def _send(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The answer before its body; who is cancelled meanwhile leaves no socket open.

    httpx2 closes a connection whose TLS handshake fails, but not one whose handshake is cancelled.
    """
    sending = asyncio.ensure_future(client.send(request, stream=True))
    try:
        return await asyncio.shield(sending)
    except asyncio.CancelledError:
        await asyncio.wait([sending], timeout=_HANDSHAKE)
        sending.cancel()
        (answer,) = await asyncio.gather(sending, return_exceptions=True)
        if isinstance(answer, httpx2.Response):
            await answer.aclose()
        raise


async def _refusal(response: httpx2.Response, request: Request) -> KubernetesError:
    body = await response.aread()
    return api_error(request.what, response.status_code, body, response.headers.get("Retry-After", ""))


def _unreachable(
    error: httpx2.RequestError, request: Request, timeout: httpx2.Timeout
) -> ApiUnreachableError:
    words = str(error) or type(error).__name__
    if isinstance(error, httpx2.ReadTimeout):
        words = f"nothing was heard for {timeout.read:g} s"
    elif isinstance(error, httpx2.TimeoutException):
        words = f"no connection in {timeout.connect:g} s"
    advice = ""
    if "certificate has expired" in words or "certificate is not yet valid" in words:
        now = datetime.now().astimezone()
        advice = f"Either that, or the clock of this machine is wrong: it shows {now:%Y-%m-%d %H:%M %Z}."
    elif "CERTIFICATE_VERIFY_FAILED" in words:
        advice = "The server's certificate isn't the one that the kubeconfig expects: get a fresh kubeconfig."
    return ApiUnreachableError(request.what, Status(message=words), next_step=advice)
