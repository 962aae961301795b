"""How a cluster's table in ``config.toml`` is read: every key is described where it is defined.

A reader turns what was written into what is used, or raises ``ValueError`` (or ``UsageError``) with a
sentence. A reader of a table collects the mistakes of everything in it, each with the path of its key, so
that whoever wrote the file hears all of them at once, with their lines.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from offload.errors import UsageError
from offload.model.resources import parse_cpus, parse_duration, parse_memory

Reader = Callable[[Any], Any]
Path = tuple[str, ...]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED: Final = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE: Final = re.compile(
    r"([A-Za-z0-9.-]+(:\d{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_LONGEST_NAME: Final = 253
"""Of an object in Kubernetes."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table.

    Attributes:
        read: turns what was written into what is used.
        default: what holds when the key is absent, in words.
        about: what it is for, in which unit, and why the default is what it is.
    """

    read: Reader
    default: str
    about: str


class MistakesError(ValueError):
    """What is wrong in a table: the path of each key below it, and a sentence."""

    def __init__(self, found: list[tuple[Path, str]]) -> None:
        super().__init__(found)
        self.found = found


def read_table(keys: Mapping[str, Key], written: Any) -> dict[str, Any]:
    """The values of a table, by key; absent keys are absent.

    Raises:
        MistakesError: it is no table, keys are unknown or values don't fit; all of it.
    """
    return _each(written, lambda key: keys[key].read if key in keys else _unknown(keys))


def table_of(read: Reader, *, names: Reader) -> Reader:
    """A reader of tables whose keys are free names, each read by ``names`` and each value by ``read``."""

    def named(key: str) -> Reader:
        try:
            names(key)
        except ValueError as error:
            return _refuse(str(error))
        return read

    return lambda written: _each(written, named)


def _each(written: Any, reader_of: Callable[[str], Reader]) -> dict[str, Any]:
    if not isinstance(written, Mapping):
        raise MistakesError([((), f"{written!r} isn't a table")])
    values: dict[str, Any] = {}
    found: list[tuple[Path, str]] = []
    for key, value in written.items():
        try:
            values[key] = reader_of(key)(value)
        except MistakesError as error:
            found += [((key, *path), sentence) for path, sentence in error.found]
        except UsageError as error:
            found.append(((key,), error.sentence.rstrip(".")))
        except ValueError as error:
            found.append(((key,), str(error)))
    if found:
        raise MistakesError(found)
    return values


def _unknown(keys: Mapping[str, Key]) -> Reader:
    return _refuse(f"there is no such setting; here are valid: {', '.join(keys)}")


def _refuse(sentence: str) -> Reader:
    def read(_: Any) -> Any:
        raise ValueError(sentence)

    return read


def list_of(read: Reader) -> Reader:
    """A reader of lists."""

    def elements(written: Any) -> tuple[Any, ...]:
        if isinstance(written, list | tuple):
            return tuple(read(element) for element in written)
        raise ValueError(f"{written!r} isn't a list")

    return elements


def or_false(read: Reader) -> Reader:
    """A reader for which ``false`` means None: the cluster decides, or there is no limit."""
    return lambda written: None if written is False else read(written)


def text(written: Any) -> str:
    """Any text in one line."""
    if not isinstance(written, str) or not written.strip() or not written.isprintable():
        raise ValueError(f"{written!r} isn't a text in one line")
    return written


def flag(written: Any) -> bool:
    """``true`` or ``false``."""
    if isinstance(written, bool):
        return written
    raise ValueError(f"{written!r} is neither true nor false")


def whole(written: Any) -> int:
    """A whole number from 0."""
    if isinstance(written, bool) or not isinstance(written, int) or not 0 <= written < 1 << 31:
        raise ValueError(f"{written!r} isn't a whole number from 0")
    return written


def cpus(written: Any) -> float:
    """CPUs."""
    return parse_cpus(_amount(written))


def memory(written: Any) -> int:
    """Bytes."""
    return parse_memory(_amount(written))


def duration(written: Any) -> float:
    """Seconds."""
    return parse_duration(_amount(written))


def _amount(written: Any) -> str:
    if isinstance(written, str | int | float) and not isinstance(written, bool):
        return str(written)
    raise ValueError(f"{written!r} is neither a number nor a text")


def _matching(pattern: re.Pattern[str], what: str, longest: int = 1 << 20) -> Reader:
    def read(written: Any) -> str:
        if not isinstance(written, str) or not pattern.fullmatch(written) or len(written) > longest:
            raise ValueError(f"{written!r} isn't {what}")
        return written

    return read


object_name: Final = _matching(
    _SUBDOMAIN, "a name in Kubernetes: small letters, digits, '-' and '.'", _LONGEST_NAME
)
label_name: Final = _matching(_LABEL, "a name of at most 63 small letters, digits and '-'")
label_value: Final = _matching(_LABEL_VALUE, "the value of a label in Kubernetes")
qualified_name: Final = _matching(_QUALIFIED, "a name such as 'example.com/name'")
short_name: Final = _matching(
    re.compile(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?"), "a name of at most 50 small letters, digits and '-'"
)
variable: Final = _matching(_VARIABLE, "the name of a variable")
image: Final = _matching(_IMAGE, "a container image such as 'rocker/r-ver:4.4'", 512)


def is_label_value(written: str) -> bool:
    """Whether a text may be the value of a label."""
    return bool(_LABEL_VALUE.fullmatch(written))


def is_image(written: str) -> bool:
    """Whether a text names a container image."""
    return bool(_IMAGE.fullmatch(written))


def absolute_path(written: Any) -> str:
    """A path in the pod: absolute, without ``..``; Kubernetes allows no colon in it."""
    path = text(written)
    if not path.startswith("/") or ":" in path or ".." in path.split("/"):
        raise ValueError(f"{written!r} isn't an absolute path without ':' and '..'")
    return posixpath.normpath(path).replace("//", "/")


def json_value(written: Any) -> Any:
    """What Kubernetes takes as it is: tables, lists, texts, numbers, true and false."""
    if isinstance(written, Mapping):
        return json_table(written)
    if isinstance(written, list | tuple):
        return [json_value(value) for value in written]
    number = isinstance(written, float) and math.isfinite(written)
    if not (number or written is None or isinstance(written, bool | int | str)):
        raise ValueError(f"{written!r} can't be said in JSON")
    return written


def json_table(written: Any) -> dict[str, Any]:
    """A table that goes to Kubernetes as it is."""
    if isinstance(written, Mapping):
        return {str(key): json_value(value) for key, value in written.items()}
    raise ValueError(f"{written!r} isn't a table")
