"""The text of ``config.toml``: where each key stands, and one cluster's table put in or taken out.

People write this file, so nothing of theirs is lost: a change touches the statements of one cluster and
nothing else, not a comment, not a blank line. It is proved before it is believed: the new text must say what
the old one said, but for that cluster. A file that is written in a way that can't be changed like this (all
clusters in one inline table, for example) is left alone, and the person is told what to write.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from offload.errors import SettingsError

Path = tuple[str, ...]
MAX_DEPTH: Final = 16
"""Tables within tables, at most."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A header such as ``[clusters.eks]`` or an assignment, with the lines that it covers.

    Attributes:
        first: index of its first line.
        end: index after its last line.
        keys: every key that it sets, in full; the one that all of them begin with comes first.
        is_header: whether it is a header.
    """

    first: int
    end: int
    keys: tuple[Path, ...]
    is_header: bool = False


def statements(text: str) -> Iterator[Statement]:
    """Every statement of a text that is valid TOML, in order."""
    lines = text.split("\n")
    table: Path = ()
    at = 0
    while at < len(lines):
        said, end = _one(lines, at)
        keys = tuple(_keys(said))
        is_header = lines[at].lstrip().startswith("[")
        if is_header:
            table = keys[0]
            yield Statement(at, end, keys[:1], is_header=True)
        elif keys:
            yield Statement(at, end, tuple(table + key for key in keys))
        at = end


def _one(lines: Sequence[str], first: int) -> tuple[dict[str, Any], int]:
    # A list or a text may go on over many lines: a statement ends where it makes sense for the first time.
    for end in range(first + 1, len(lines) + 1):
        try:
            return tomllib.loads("\n".join(lines[first:end]) + "\n"), end
        except tomllib.TOMLDecodeError:
            continue
    return {}, len(lines)


def _keys(said: Mapping[str, Any]) -> Iterator[Path]:
    """The key that one statement sets, and the keys below it."""
    common: Path = ()
    inner: Any = said
    while isinstance(inner, dict) and len(inner) == 1:
        ((key, inner),) = inner.items()
        common += (key,)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            break
    if common:
        yield common
    yield from _below(inner, common)


def _below(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from _below(inner, (*path, key))


def line_of(text: str, key: Sequence[str]) -> int | None:
    """The line, from 1, on which a key stands; for one that isn't there, that of the table it belongs to."""
    wanted = tuple(key)
    best: tuple[int, int] | None = None
    for statement in statements(text):
        for found in statement.keys:
            depth = len(found) if wanted[: len(found)] == found else 0
            if found[: len(wanted)] == wanted:
                depth = len(wanted)
            if depth and (best is None or depth > best[0]):
                best = (depth, statement.first + 1)
    return None if best is None else best[1]


def with_cluster(text: str, name: str, table: Mapping[str, Any]) -> str:
    """The text with this cluster's table in place of the one it had, or at its end.

    Raises:
        SettingsError: the table can't be written, or the text can't be changed without touching more.
    """
    rest, place = _without(text, name)
    lines = rest.split("\n")
    written = _table(f"clusters.{name}", table, name)
    if place is None:
        while lines and not lines[-1].strip():
            lines.pop()
        lines = [*lines, *([""] if lines else []), *written, ""]
    else:
        lines[place:place] = written
    return _proved(text, "\n".join(lines), name, table)


def without_cluster(text: str, name: str) -> str:
    """The text without this cluster's table.

    Raises:
        SettingsError: the text can't be changed without touching more.
    """
    return _proved(text, _without(text, name)[0], name, None)


def _without(text: str, name: str) -> tuple[str, int | None]:
    """The text without the cluster, and the line where its first table began."""
    lines = text.split("\n")
    mine = [item for item in statements(text) if item.keys[0][:2] == ("clusters", name)]
    for one, following in reversed([*zip_longest(mine, mine[1:])]):
        # What stands between two statements of the table belongs to it; what follows the last one doesn't.
        joined = following is not None and _is_between(lines, one.end, following.first)
        del lines[one.first : following.first if joined else one.end]
    headers = [item.first for item in mine if item.is_header]
    return "\n".join(lines), headers[0] if headers and headers[0] == mine[0].first else None


def _is_between(lines: Sequence[str], first: int, end: int) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in lines[first:end])


def _proved(old: str, new: str, name: str, table: Mapping[str, Any] | None) -> str:
    wanted = tomllib.loads(old)
    clusters = {key: value for key, value in wanted.pop("clusters", {}).items() if key != name}
    if table is not None:
        clusters[name] = dict(table)
    try:
        said = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        said = {}
    if said.pop("clusters", {}) != clusters or said != wanted:
        change = "Remove it there" if table is None else f"Write the table [clusters.{name}] there"
        raise SettingsError(
            f"The settings of the cluster {name} can't be changed without touching others in the file.",
            next_step=f"{change} by hand, then restart the launcher: offload launcher stop --force",
        )
    return new


def _table(header: str, table: Mapping[str, Any], name: str, depth: int = 0) -> list[str]:
    if depth > MAX_DEPTH:
        raise _unwritable(name, f"tables are nested more than {MAX_DEPTH} deep")
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{header}]"] if plain or not table else []
    lines += [f"{_key(key)} = {_value(value, name, depth)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            below = _table(f"{header}.{_key(key)}", value, name, depth + 1)
            lines += ["", *below] if lines else below
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, name: str, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise _unwritable(name, f"values are nested more than {MAX_DEPTH} deep")
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(_value(item, name, depth + 1) for item in value)}]"
        case dict():
            pairs = (f"{_key(key)} = {_value(item, name, depth + 1)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
    raise _unwritable(name, f"{value!r} is no value of TOML")


def _unwritable(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"The settings of the cluster {name} can't be written: {why}.",
        next_step="Values are texts, numbers, true, false, lists and tables.",
    )
