"""What an API server's answers mean: objects, pages of lists, and the lines of a watch, decoded narrowly."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from offload.backends.kubernetes.api_errors import (
    ApiUnreachableError,
    ServerTroubleError,
    Status,
    api_error,
)
from offload.backends.kubernetes.objects import Listing, Meta

__all__ = [
    "Change",
    "ChangeType",
    "KubernetesObject",
    "O",
    "Page",
    "change_of",
    "decoded",
    "lines_of",
    "page_of",
]


class KubernetesObject(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> Meta:
        """Name, uid, version."""


O = TypeVar("O", bound=KubernetesObject)  # noqa: E741  an object


class ChangeType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class Change(Generic[O]):
    """One line of a watch.

    Attributes:
        type: what happened.
        object: as it is now, or was at last; of a bookmark only the version means something.
    """

    type: ChangeType
    object: O

    @property
    def resource_version(self) -> str:
        """Where a watch goes on after this."""
        return self.object.metadata.resource_version


class Page(Struct, Generic[O]):
    """One page of a list."""

    metadata: Listing = field(default_factory=Listing)
    items: list[O] = field(default_factory=list)


class _Line(Struct):
    """One line of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: Raw


class _Version(Struct, rename="camel"):
    """As much of ``ObjectMeta`` as a bookmark has."""

    resource_version: str = ""


class _Bookmark(Struct):
    """A bookmark's object: of the watched kind, with null in all other fields, even where it may not be."""

    metadata: _Version = field(default_factory=_Version)


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decoded(body: bytes | Raw, kind: Any, what: str) -> Any:
    """``body`` as a value of the type ``kind``.

    Raises:
        ServerTroubleError: it isn't one.
    """
    try:
        return _decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        words = f"what answers doesn't seem to be a Kubernetes API server: {error}"
        raise ServerTroubleError(what, Status(message=words)) from error


def page_of(body: bytes, kind: type[O], what: str) -> Page[O]:
    """One page of a list of ``kind``; errors as in :func:`decoded`."""
    page: Page[O] = decoded(body, Page[kind], what)  # type: ignore[valid-type]  # a type made at run time
    return page


def change_of(line: bytes, kind: type[O], what: str) -> Change[O]:
    """What one line of a watch says; ``what`` the watch is for, as in all of :mod:`api_errors`.

    Raises:
        KubernetesError: the line is an error; the class says which.
    """
    read: _Line = decoded(line, _Line, what)
    if read.type == "ERROR":
        raise api_error(what, decoded(read.object, Status, what).code, bytes(read.object))
    body: bytes | Raw = read.object
    if read.type == "BOOKMARK":
        body = msgspec.json.encode(decoded(body, _Bookmark, what))
    return Change(ChangeType(read.type), decoded(body, kind, what))


async def lines_of(parts: AsyncIterator[bytes], what: str) -> AsyncGenerator[bytes, None]:
    """Whole lines; a connection can bring half of one.

    Raises:
        ApiUnreachableError: it ended amid one.
    """
    begun: list[bytes] = []
    async for part in parts:
        first, *others = part.split(b"\n")
        begun.append(first)
        for other in others:
            if line := b"".join(begun):
                yield line
            begun = [other]
    if b"".join(begun):
        raise ApiUnreachableError(what, Status(message="the connection broke amid a line"))
