"""What was asked of our API server, and by whom: for tests of rights, and for counting requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.control_plane import AUDIT


@dataclass(frozen=True)
class Request:
    """A request; a watch is one when it begins, and another when it has ended."""

    user: str
    agent: str
    verb: str
    resource: str
    namespace: str
    uri: str
    status: int


def position() -> int:
    """Where the record ends now; requests are asked for from there."""
    return AUDIT.stat().st_size


def requests(since: int = 0, *, namespace: str | None = None, user: str | None = None) -> Iterator[Request]:
    """Requests since a position, in the order of their answers; of one namespace or user."""
    with AUDIT.open("rb") as record:
        record.seek(since)
        for line in record:
            if not line.endswith(b"\n"):
                return
            found = _request(json.loads(line))
            if namespace in (None, found.namespace) and user in (None, found.user):
                yield found


def _request(entry: dict[str, Any]) -> Request:
    target = entry.get("objectRef", {})
    parts = [target.get("resource", ""), target.get("subresource", "")]
    return Request(
        user=entry["user"].get("username", ""),  # nobody, when a token was refused
        agent=entry.get("userAgent", ""),
        verb=entry["verb"],
        resource="/".join(part for part in parts if part),
        namespace=target.get("namespace", ""),
        uri=entry["requestURI"],
        status=entry.get("responseStatus", {}).get("code", 0),
    )
