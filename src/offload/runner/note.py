"""The JSON object that a task may leave at ``$OFFLOAD_RESULT``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

MAX_SIZE: Final = 64_000
"""Bytes; it becomes columns of a table, it is no place for data."""


def read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The object, and what is wrong with it: one of both, or neither when the task wrote nothing."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"What the script wrote to $OFFLOAD_RESULT can't be read: {error}."
    if len(raw) > MAX_SIZE:
        return None, (
            f"What the script wrote to $OFFLOAD_RESULT is larger than {MAX_SIZE} bytes and was not kept. "
            "Write files for data; the result is for a few numbers."
        )
    try:
        value = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return None, f"What the script wrote to $OFFLOAD_RESULT is no JSON and was not kept: {error}."
    if not isinstance(value, dict):
        return None, (
            "What the script wrote to $OFFLOAD_RESULT was not kept: it must be a JSON object, "
            'such as {"rmse": 0.31}.'
        )
    return value, ""


def _refuse(word: str) -> None:
    raise ValueError(f"JSON has no {word}")
