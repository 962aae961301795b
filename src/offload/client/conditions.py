"""Conditions on the rows of a table: ``state==failed``, ``lr<0.1``, ``peak_memory>=1e9``.

Numbers are compared as numbers, anything else as the text that is shown. An empty cell meets no condition
but ``!=``.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offload.errors import UsageError
from offload.wire.codec import text_of

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION: Final = re.compile(r"\s*([^=!<>]*[^=!<>\s])\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*")
_SYNTAX: Final = "Write it like 'state==failed' or 'lr<0.1', with ==, !=, <, <=, > or >=."


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a row must meet.

    Attributes:
        column: the name of the cell.
        sign: how it is compared.
        value: with what.
    """

    column: str
    sign: str
    value: str

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row meets it."""
        cell = row.get(self.column)
        if cell is None:
            return self.sign == "!="
        one, other = _number(cell), _number(self.value)
        compare = _COMPARE[self.sign]
        if one is not None and other is not None:
            return compare(one, other)
        return compare(text_of(cell), self.value)


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """The conditions that texts say.

    Raises:
        UsageError: some say none; all of them are named.
    """
    matches = {text: _CONDITION.fullmatch(text) for text in texts}
    if wrong := [repr(text) for text, match in matches.items() if match is None]:
        are = "is no condition" if len(wrong) == 1 else "are no conditions"
        raise UsageError(f"{', '.join(wrong)} {are}.", next_step=_SYNTAX)
    return [Condition(column=match[1], sign=match[2], value=match[3]) for match in matches.values() if match]


def demand_columns(conditions: Collection[Condition], columns: Collection[str]) -> None:
    """Raise a ``UsageError`` that names every column that isn't there, with near ones and all."""
    wrong = sorted({one.column for one in conditions} - set(columns))
    if not wrong:
        return
    near = difflib.get_close_matches(wrong[0], columns, n=1)
    raise UsageError(
        f"The table has no column {', '.join(wrong)}." + (f" Did you mean {near[0]}?" if near else ""),
        next_step=f"Its columns are: {', '.join(columns)}.",
    )


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    try:
        return float(cell)
    except ValueError:
        return None
