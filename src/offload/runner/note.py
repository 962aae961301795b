"""The JSON object that a task may leave at ``$OFFLOAD_RESULT``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

MAX_SIZE: Final = 64_000
"""Bytes; it becomes columns of a table, it is no place for data."""
MAX_DEPTH: Final = 32
"""Lists and objects inside one another; what writes JSON gives up at some hundreds."""


def read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The object, and what is wrong with it: one of both, or neither when the task wrote nothing."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"What the script wrote to $OFFLOAD_RESULT can't be read: {error}."
    try:
        return _object(raw), ""
    except (ValueError, TypeError) as error:
        return None, f"What the script wrote to $OFFLOAD_RESULT was not kept: {error}."


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_SIZE:
        raise ValueError(f"it is larger than {MAX_SIZE} bytes; write files for data")
    try:
        value = json.loads(raw, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise TypeError('it must be a JSON object, such as {"rmse": 0.31}')
    if _depth(value) > MAX_DEPTH:
        raise ValueError(f"its lists and objects are more than {MAX_DEPTH} inside one another")
    return _with_whole_characters(value)


def _refuse(word: str) -> None:
    raise ValueError(f"JSON has no {word}")


def _finite(word: str) -> float:
    number = float(word)
    if math.isinf(number):
        raise ValueError(f"{word} is too large for a number")
    return number


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _with_whole_characters(value: dict[str, Any]) -> dict[str, Any]:
    """JSON can hold half a character (an emoji that JavaScript cut in two), but nothing can store it."""
    text = json.dumps(value, ensure_ascii=False)
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value if whole == text else dict(json.loads(whole))
