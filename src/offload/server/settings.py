"""The launcher's settings: ``config.toml``, which need not exist. Every key is described where it is
defined.

What isn't understood stops the launcher, with the line and the valid keys, and all mistakes at once: a
setting with a typing mistake that is silently ignored is found only when it would have mattered.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from offload.errors import SettingsError, UsageError
from offload.launcher.cluster_changes import LOCAL
from offload.launcher.clusters import ClusterSettings
from offload.launcher.settings_text import line_of, statements
from offload.model.resources import parse_duration

_DAY: Final = 86400.0


def _duration(value: Any) -> float | None:
    if value is False:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return parse_duration(str(value))
    raise ValueError("it is a duration such as '30d' or '15m', or false")


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError("it is a text")


def _addresses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError("it is a list of addresses such as ['127.0.0.1:8750']")
    for part in value:
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}", part):
            raise ValueError(f"{part!r} is not an address such as '127.0.0.1:8750' or '[::1]:8750'")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of ``config.toml``.

    Attributes:
        read: turns what was written into what is used, or raises ``ValueError``.
        default: what holds when the key is absent, in words.
        about: what it is for, in which unit, why the default is what it is, and how to turn it off.
    """

    read: Callable[[Any], Any]
    default: str
    about: str


SETTINGS: Final[Mapping[str, Setting]] = {
    "store": Setting(
        _text,
        "sqlite:///DATA/store.sqlite",
        "Where jobs are remembered: an SQLAlchemy URL of SQLite or PostgreSQL "
        "(`postgresql://user@host/database`). SQLite needs no server and is fast enough for one launcher. "
        "A store belongs to one data directory: a launcher with another one is refused. "
        "`OFFLOAD_STORE` in the environment wins.",
    ),
    "retention": Setting(
        _duration,
        "30d",
        "How long results, logs and events are kept after a job ended: a duration (`12h`, `30d`; a bare "
        "number is seconds). The job itself stays listed, with its tasks and attempts. A month survives a "
        "holiday; `false` keeps them for ever.",
    ),
    "idle_limit": Setting(
        _duration,
        "15m, or false where `listen` is set",
        "How long nobody must need the launcher until it ends by itself: a duration. The next command "
        "starts it again on this machine; a launcher that others reach over TCP can't be started by them, so "
        "it stays. `false` keeps it running.",
    ),
    "listen": Setting(
        _addresses,
        "[]",
        "TCP addresses to listen on besides the Unix socket, such as `['127.0.0.1:8750']`. There the public "
        "API asks for the bearer token in `DATA/token`. Traffic isn't encrypted: put a TLS proxy in front of "
        "any address that others reach. An empty list turns it off.",
    ),
}
"""Every key but the table ``clusters``."""
CLUSTERS: Final = (
    "A table for each place where jobs can run: `[clusters.NAME]` with `backend = '…'` and that backend's "
    "own settings; `offload clusters add` writes one. `local`, this machine, is there without a table; "
    "`local = false` below `[clusters]` keeps jobs off it."
)


_THIS_MACHINE: Final = ClusterSettings(name=LOCAL, backend="local")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``config.toml`` says; see :data:`SETTINGS`. Durations in seconds, None is for ever."""

    store: str
    retention: float | None = 30 * _DAY
    idle_limit: float | None = 15 * 60.0
    listen: tuple[str, ...] = ()
    clusters: tuple[ClusterSettings, ...] = (_THIS_MACHINE,)


def load_settings(path: Path, data: Path, env: Mapping[str, str]) -> Settings:
    """The settings in a file, if there is one; ``data`` is where the launcher keeps its data.

    Raises:
        SettingsError: the file can't be read, or says what isn't understood; all of it is named.
    """
    text, table = _read(path)
    mistakes: list[str] = []
    values = _values(table, text, mistakes)
    clusters = _clusters(table.get("clusters", {}), text, mistakes)
    if mistakes:
        raise SettingsError(
            f"The settings in {path} aren't valid: {' '.join(mistakes)}",
            next_step=f"The keys are: {', '.join(SETTINGS)} and the tables [clusters.NAME].",
        )
    values.setdefault("store", f"sqlite:///{data / 'store.sqlite'}")
    if store := env.get("OFFLOAD_STORE"):
        values["store"] = store
    if values.get("listen"):
        values.setdefault("idle_limit", None)
    values["clusters"] = clusters
    return Settings(**values)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"The settings in {path} can't be read: {error}",
            next_step="Correct the file; it is written in TOML.",
        ) from error


def _values(table: Mapping[str, Any], text: str, mistakes: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, written in table.items():
        if key == "clusters":
            continue
        if key not in SETTINGS:
            mistakes.append(f"{_line(text, key)}there is no setting {key!r}.")
            continue
        try:
            values[key] = SETTINGS[key].read(written)
        except UsageError as error:
            mistakes.append(f"{_line(text, key)}{key}: {error.sentence}")
        except ValueError as error:
            mistakes.append(f"{_line(text, key)}{key} = {written!r} isn't valid: {error}.")
    return values


def _clusters(table: Any, text: str, mistakes: list[str]) -> tuple[ClusterSettings, ...]:
    if not isinstance(table, dict):
        mistakes.append(f"{_line(text, 'clusters')}'clusters' is a table: write [clusters.NAME].")
        return ()
    found = [] if LOCAL in table else [_THIS_MACHINE]
    for name, written in table.items():
        if name == LOCAL and written is False:
            continue
        if wrong := cluster_mistake(name, written):
            mistakes.append(f"{_line(text, 'clusters', name)}{wrong}")
        else:
            rest = {key: value for key, value in written.items() if key != "backend"}
            lines = _lines_below(text, name)
            found.append(ClusterSettings(name=name, backend=written["backend"], settings=rest, lines=lines))
    return tuple(found)


def _lines_below(text: str, name: str) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    for statement in statements(text):
        for key in statement.keys:
            if key[:2] == ("clusters", name):
                lines.setdefault(key[2:], statement.first + 1)
    return lines


def cluster_mistake(name: str, written: Any) -> str:
    """What is wrong with a cluster's table, apart from what its backend says; empty when nothing is."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        return f"{name!r} can't be the name of a cluster: use small letters, digits and dashes."
    if not isinstance(written, dict):
        return f"cluster {name} is a table: write [clusters.{name}]."
    if not isinstance(written.get("backend"), str):
        return f"cluster {name} doesn't say which backend it has: add backend = 'local' or another."
    return ""


def _line(text: str, *key: str) -> str:
    return f"line {found}: " if (found := line_of(text, key)) else ""
