"""Conditions on the rows of a table: ``state==failed``, ``lr<0.1``, ``wall>90s``, ``peak_memory>=8Gi``.

The value says how cells are compared. With a number those that are numbers are, as numbers; with anything
else all are, as the text that is shown, but for true and false, which have no order. Any other cell, and an
empty one, meets no condition but ``!=``. Where no cell could be like the value, as in ``loss<low`` where
every loss is a number, the condition is a mistake and is refused.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offload.client.columns import BUILT_IN, Kind
from offload.client.mistakes import together
from offload.errors import UsageError
from offload.model.reasons import ReasonCode
from offload.model.resources import WRITE_DURATION, WRITE_MEMORY, bytes_of, seconds_of
from offload.model.states import State
from offload.wire.codec import text_of

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_EQUAL: Final = ("==", "!=")
_TRUTH: Final = ("true", "false")
_CONDITION: Final = re.compile(r"\s*([^=!<>]*[^=!<>\s])\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*")
_QUOTED: Final = re.compile(r"([\"'])(.*)\1")
_SYNTAX: Final = "Write it like 'state==failed' or 'lr<0.1', with ==, !=, <, <=, > or >=."
_WRITE_NUMBER: Final = "Write a number, as in {column}>0.5."
_WRITE_TRUTH: Final = "Write {column}==true or {column}==false."
_READ: Final[dict[Kind, Callable[[str], float | None]]] = {Kind.DURATION: seconds_of, Kind.SIZE: bytes_of}
_NAMES: Final[dict[str, tuple[str, ...]]] = {"state": tuple(State), "reason": tuple(ReasonCode)}
"""Columns of which each cell is one of some names."""
_EXPECTED: Final = {
    Kind.COUNT: ("numbers", _WRITE_NUMBER),
    Kind.MOMENT: ("seconds since the epoch", _WRITE_NUMBER),
    Kind.DURATION: ("durations", WRITE_DURATION),
    Kind.SIZE: ("sizes", WRITE_MEMORY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a row must meet.

    Attributes:
        column: the name of the cell.
        sign: how it is compared.
        value: with what.
        number: the value as a number, in seconds or bytes where the column holds those; None when it is none.
    """

    column: str
    sign: str
    value: str
    number: float | None

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row meets it."""
        cell = row.get(self.column)
        if cell is None:
            return self.sign == "!="
        if self.number is not None:
            number = _number(cell)
            return self.sign == "!=" if number is None else _COMPARE[self.sign](number, self.number)
        if isinstance(cell, bool):
            return self.sign in _EQUAL and _COMPARE[self.sign](text_of(cell), self.value.lower())
        return _COMPARE[self.sign](text_of(cell), self.value)


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """The conditions that texts say; quotes around a value are left out.

    Raises:
        UsageError: some say none, or compare a column that every table has with what it can't hold, as with a
            state that there isn't; all of them are named.
    """
    matches = {text: _CONDITION.fullmatch(text) for text in texts}
    mistakes = []
    if wrong := [repr(text) for text, match in matches.items() if match is None]:
        are = "is no condition" if len(wrong) == 1 else "are no conditions"
        mistakes.append(UsageError(f"{', '.join(wrong)} {are}.", next_step=_SYNTAX))
    conditions = [_condition(*match.groups()) for match in matches.values() if match]
    mistakes += [mistake for condition in conditions for mistake in _unknown_name(condition)]
    for condition in conditions:
        expected = _EXPECTED.get(BUILT_IN.get(condition.column, Kind.TEXT))
        if expected and condition.number is None:
            kind, step = expected
            mistakes.append(_misfit(condition, f"holds {kind}, and {condition.value!r} is none", step))
    if mistakes:
        raise together(mistakes)
    return conditions


def _unknown_name(condition: Condition) -> Iterator[UsageError]:
    names = _NAMES.get(condition.column)
    if names and condition.sign in _EQUAL and condition.value not in names:
        near = difflib.get_close_matches(condition.value, names, n=1)
        step = (f"Did you mean {near[0]}? " if near else "") + f"There are: {', '.join(names)}."
        yield _misfit(condition, f"is never {condition.value!r}", step)


def state_wanted(conditions: Sequence[Condition]) -> State | None:
    """The state of all rows that can meet the conditions, if these need no other rows to be understood.

    Columns that are not in every table, and what their cells are like, are known from all rows alone.
    """
    if any(one.column not in BUILT_IN for one in conditions):
        return None
    wanted = {one.value for one in conditions if one.column == "state" and one.sign == "=="}
    return State(wanted.pop()) if len(wanted) == 1 else None


def _condition(column: str, sign: str, value: str) -> Condition:
    if quoted := _QUOTED.fullmatch(value):
        value = quoted[2]
    number = _number(value)
    if number is None and (read := _READ.get(BUILT_IN.get(column, Kind.TEXT))):
        number = read(value)
    return Condition(column=column, sign=sign, value=value, number=number)


class Fit:
    """Whether conditions fit the columns, as far as these are known only once all rows have been seen.

    Args:
        conditions: about columns of any kind.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = conditions
        self._kinds: dict[str, set[str]] = {one.column: set() for one in conditions}

    def see(self, row: Mapping[str, Any]) -> None:
        """Take a row into account."""
        for column, kinds in self._kinds.items():
            cell = row.get(column)
            if cell is not None:
                kinds.add(_kind(cell))

    def demand(self, columns: Collection[str]) -> None:
        """Raise a ``UsageError`` that names each column that isn't there and each value that fits no cell.

        Args:
            columns: all that the table has.
        """
        mistakes = [*self._unknown(columns), *self._misfits()]
        if mistakes:
            raise together(mistakes)

    def _unknown(self, columns: Collection[str]) -> Iterator[UsageError]:
        if wrong := sorted(set(self._kinds) - set(columns)):
            near = difflib.get_close_matches(wrong[0], columns, n=1)
            yield UsageError(
                f"The table has no column {', '.join(wrong)}."
                + (f" Did you mean {near[0]}?" if near else ""),
                next_step=f"Its columns are: {', '.join(columns)}.",
            )

    def _misfits(self) -> Iterator[UsageError]:
        for condition in self._conditions:
            kinds = self._kinds[condition.column]
            if kinds == {"number"} and condition.number is None:
                yield _misfit(condition, f"holds numbers, and {condition.value!r} is none", _WRITE_NUMBER)
            elif kinds == {"truth"} and not _is_about_truth(condition):
                yield _misfit(condition, "holds only true and false", _WRITE_TRUTH)


def _is_about_truth(condition: Condition) -> bool:
    return condition.sign in _EQUAL and condition.value.lower() in _TRUTH


def _misfit(condition: Condition, why: str, step: str) -> UsageError:
    said = f"{condition.column}{condition.sign}{condition.value}"
    return UsageError(f"{said!r}: {condition.column} {why}.", next_step=step.format(column=condition.column))


def _kind(cell: Any) -> str:
    if isinstance(cell, bool):
        return "truth"
    return "text" if _number(cell) is None else "number"


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    if isinstance(cell, (int, float)):
        return cell
    try:
        # A float can't tell large whole numbers apart.
        return int(cell) if cell.strip().lstrip("+-").isdecimal() else _not_nan(float(cell))
    except ValueError:
        return None


def _not_nan(number: float) -> float | None:
    return None if math.isnan(number) else number
