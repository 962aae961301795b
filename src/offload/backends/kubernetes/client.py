"""The few verbs of the Kubernetes API that Offload needs, typed by what it reads of objects.

Why not one of the client libraries: none of them speaks the current protocol of credential plug-ins and
decodes narrowly at the same time. A watch on a thousand pods decodes a twentieth of what is sent.


Paths are whole: ``/apis/batch/v1/namespaces/analytics/jobs/offload-k7m2q9x-0-0``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from offload.backends.kubernetes.access import Access
from offload.backends.kubernetes.answers import Change, ChangeType, O, change_of, decoded, lines_of, page_of
from offload.backends.kubernetes.api_errors import ConflictError, GoneError, NotFoundError
from offload.backends.kubernetes.credentials import Credentials
from offload.backends.kubernetes.transport import Request, Transport

if TYPE_CHECKING:
    from offload.backends.kubernetes.port_forward import PortForward

__all__ = ["Change", "ChangeType", "Client"]

PAGE: Final = 500
"""Objects in one page of a list; what kubectl asks for."""
FIELD_MANAGER: Final = "offload"


T = TypeVar("T")
Listed: TypeAlias = tuple[list[O], str]
"""Objects, and the version of all of them together."""


class Client:
    """One API server as one user.

    Args:
        access: where, and who.
        timeout: seconds for each step of a request: to connect, to send, to hear something.
        credentials: what to show; made from ``access`` by default.
    """

    def __init__(
        self, access: Access, *, timeout: float = 10.0, credentials: Credentials | None = None
    ) -> None:
        self.access = access
        self._transport = Transport(access, credentials or Credentials(access), timeout=timeout)

    async def get(self, path: str, kind: type[T]) -> T:
        """The object at ``path``.

        Raises:
            NotFoundError: it isn't there.
            KubernetesError: the class says what it means; so for every method here.
        """
        request = _request("GET", path, "read")
        answer: T = decoded(await self._transport.call(request), kind, request.what)
        return answer

    async def list(self, path: str, kind: type[O], *, labels: str = "", fields: str = "") -> Listed[O]:
        """All objects below ``path`` that the selectors choose, and the version from which to watch."""
        try:
            return await self._pages(path, kind, PAGE, labels, fields)
        except GoneError:  # the list changed so much that its next page is forgotten
            return await self._pages(path, kind, None, labels, fields)

    async def _pages(
        self, path: str, kind: type[O], limit: int | None, labels: str, fields: str
    ) -> Listed[O]:
        items = []
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": limit, "continue": ""}
        while True:
            request = _request("GET", path, "list", query=query)
            page = page_of(await self._transport.call(request), kind, request.what)
            items += page.items
            if not page.metadata.continue_:
                return items, page.metadata.resource_version
            query["continue"] = page.metadata.continue_

    async def watch(
        self, path: str, kind: type[O], *, since: str, labels: str = "", fields: str = "", patience: float
    ) -> AsyncGenerator[Change[O], None]:
        """Every change after version ``since``; ends when the server ends it, before ``patience`` is over.

        Args:
            path: of the collection.
            kind: what to read of each object.
            since: resource version of a list or a change.
            labels: label selector.
            fields: field selector.
            patience: seconds without a word after which the connection counts as dead.

        Raises:
            GoneError: ``since`` is forgotten; list again.
            ApiUnreachableError: silence, or the connection broke.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": max(1, int(patience * 0.9)),
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        request = _request("GET", path, "watch", query=query, silence=patience)
        async with (
            self._transport.open(request) as response,
            aclosing(response.aiter_bytes()) as parts,
            aclosing(lines_of(parts, request.what)) as lines,
        ):
            async for line in lines:
                yield change_of(line, kind, request.what)

    async def create(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Make an object in the collection ``path``; the answer as it came.

        Raises:
            AlreadyExistsError: there is one of this name.
        """
        request = _request("POST", path, "create", query={"fieldManager": FIELD_MANAGER}, body=body)
        return await self._transport.call(request)

    async def apply(
        self, path: str, body: Mapping[str, Any], *, force: bool = True, dry_run: bool = False
    ) -> bytes:
        """Make the object at ``path`` what ``body`` says, whether it is there or not (server-side apply).

        Args:
            path: of the object.
            body: all that we want of it.
            force: take over fields that somebody else owns.
            dry_run: go through every check of the server, and change nothing.

        Raises:
            ConflictError: without ``force``, somebody else owns a field of it.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        # JSON is YAML, and the only type that every version knows.
        kind = "application/apply-patch+yaml"
        request = _request("PATCH", path, "apply", query=query, body=body, content_type=kind)
        return await self._transport.call(request)

    async def merge(self, path: str, patch: Mapping[str, Any]) -> bytes:
        """Change the fields that ``patch`` has; with ``metadata.resourceVersion`` in it, only of that one.

        Raises:
            ConflictError: it has another version.
        """
        kind = "application/merge-patch+json"
        query = {"fieldManager": FIELD_MANAGER}
        return await self._transport.call(
            _request("PATCH", path, "change", query=query, body=patch, content_type=kind)
        )

    async def delete(
        self,
        path: str,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        grace: int | None = None,
    ) -> bool:
        """Delete the object at ``path``, with what belongs to it.

        Args:
            path: of the object.
            propagation: what happens to what it owns.
            uid: delete it only if it is this very one, not another that has its name by now.
            grace: seconds that a pod gets instead of its own; 0 doesn't wait for its node, which may be lost.

        Returns:
            Whether it was there.
        """
        options: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": propagation,
        }
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._transport.call(_request("DELETE", path, "delete", body=options))
        except NotFoundError:
            return False
        except ConflictError:
            if uid is None:
                raise
            return False
        return True

    async def log(self, path: str, container: str, *, lines: int, limit_bytes: int) -> bytes:
        """The last ``lines`` of what a container of the pod at ``path`` printed, cut to ``limit_bytes``."""
        query = {"container": container, "tailLines": lines, "limitBytes": limit_bytes}
        return await self._transport.call(_request("GET", f"{path}/log", "read", query=query))

    async def allowed(
        self, namespace: str, verb: str, resource: str, group: str = "", subresource: str = ""
    ) -> bool:
        """Whether we may do this there."""
        asked = {"namespace": namespace, "verb": verb, "resource": resource, "group": group}
        if subresource:
            asked["subresource"] = subresource
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        request = _request("POST", path, "create", body=body)
        review: _Review = decoded(await self._transport.call(request), _Review, request.what)
        return review.status.allowed

    def now(self) -> datetime:
        """The time by the API server's clock, which stamps all objects, as of its last answer."""
        return datetime.now(UTC) + timedelta(seconds=self._transport.ahead)

    async def version(self) -> str:
        """The server's version, such as ``v1.35.4``."""
        request = Request(method="GET", path="/version", what="tell its version")
        version: _Version = decoded(await self._transport.call(request), _Version, request.what)
        return version.git_version

    async def forward(self, path: str, port: int) -> PortForward:
        """A connection to a port of the pod at ``path``; errors as everywhere."""
        from offload.backends.kubernetes.port_forward import open_port  # noqa: PLC0415  many never need it

        query = f"{path}/portforward?ports={port}"
        return await self._transport.upgrade(query, _told("reach", path), open_port)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Allowed(Struct):
    """``SubjectAccessReviewStatus``."""

    allowed: bool = False


class _Review(Struct):
    """``SelfSubjectAccessReview``."""

    status: _Allowed = field(default_factory=_Allowed)


class _Version(Struct, rename="camel"):
    """``version.Info``."""

    git_version: str = ""


def _request(
    method: str,
    path: str,
    verb: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
    silence: float | None = None,
) -> Request:
    return Request(
        method=method,
        path=path,
        what=_told(verb, path),
        query=query,
        body=None if body is None else msgspec.json.encode(body),
        content_type=content_type,
        silence=silence,
    )


def _told(verb: str, path: str) -> str:
    """``create jobs in namespace analytics`` for ``/apis/batch/v1/namespaces/analytics/jobs``."""
    parts = path.strip("/").split("/")[2 if path.startswith("/api/") else 3 :]
    if parts[:1] == ["namespaces"] and len(parts) > 2:  # noqa: PLR2004  namespaces/NAME/KIND
        return f"{verb} {' '.join(parts[2:])} in namespace {parts[1]}"
    return f"{verb} {' '.join(parts)}"
