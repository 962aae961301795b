"""The settings of a cluster from the words of a command line: options, and ``--set KEY=VALUE`` as in TOML."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offload.errors import UsageError


def read_words(options: Mapping[str, str | None], words: Iterable[str]) -> dict[str, Any]:
    """The table that options and ``--set`` make together.

    Args:
        options: value of each option, by its key; None wasn't given.
        words: what followed each ``--set``.

    Raises:
        UsageError: words aren't TOML, or contradict each other; all of them are named.
    """
    table: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    wrong: list[str] = []
    for word in words:
        try:
            _merge(table, tomllib.loads(word))
        except tomllib.TOMLDecodeError:
            wrong.append(f"--set {word!r} isn't of the form KEY=VALUE, with the value as in TOML.")
        except ValueError as error:
            wrong.append(f"--set {word!r}: {error} is set twice.")
    if wrong:
        raise UsageError(
            "\n".join(wrong),
            next_step="Texts stand in quotes, and the whole in others: --set 'images.R=\"rocker/r-ver:4.4\"'",
        )
    return table


def _merge(table: dict[str, Any], more: Mapping[str, Any], above: str = "") -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value, f"{above}{key}.")
        elif key in table:
            raise ValueError(f"{above}{key}")
        else:
            table[key] = value


def kubeconfig_of(given: str | None) -> str | None:
    """The kubeconfig that this shell means; the launcher has another directory, and maybe other variables.

    Raises:
        UsageError: the file isn't there, or ``KUBECONFIG`` names several.
    """
    files = (
        [given] if given else [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    )
    if not files:
        return None
    if len(files) > 1:
        raise UsageError("KUBECONFIG names several files.", next_step=f"Say which: --kubeconfig {files[0]}")
    path = Path(files[0]).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"There is no kubeconfig {path}.", next_step="Say where it is: --kubeconfig FILE")
    return str(path)
