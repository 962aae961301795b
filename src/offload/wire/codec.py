"""Frozen dataclasses to JSON and back.

Readers ignore fields they do not know, so an older client understands a newer launcher. What a person
writes is validated strictly by the API.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from offload.errors import ProtocolError

T = TypeVar("T")


def encode(value: object) -> bytes:
    """JSON of a value made of dataclasses, enums, tuples and plain types."""
    return msgspec.json.encode(value)


def text_of(value: object) -> str:
    """A text as it is, anything else as JSON: what a cell of a table shows."""
    return value if isinstance(value, str) else encode(value).decode()


def to_builtins(value: object) -> Any:
    """The same as :func:`encode`, as dicts and lists."""
    return msgspec.to_builtins(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """The value of type ``kind`` that JSON ``data`` denotes.

    Raises:
        ProtocolError: it is not JSON, or does not fit the type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"Malformed {kind.__name__}: {error}") from error


def convert(value: object, kind: type[T]) -> T:
    """The value of type ``kind`` that dicts and lists denote.

    Raises:
        ProtocolError: it does not fit the type.
    """
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"Malformed {kind.__name__}: {error}") from error
