"""The file of ``--params``: one task a row, from CSV, JSON lines or Parquet.

It is read twice, row by row: once to find every mistake and count the rows before anything is sent, and once
to send it. Neither holds more of it than a row. Every value becomes text as it was written.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from offload.client.parquet import INSTALL
from offload.client.words import is_text
from offload.errors import UsageError
from offload.model.array import MAX_TASKS
from offload.model.parameters import MAX_VALUE, name_mistakes

_TOLD: Final = 20
"""Mistakes that are told one by one."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file that was found to be in order: its parameters, and how many rows follow."""

    path: Path
    columns: tuple[str, ...]
    rows: int


@dataclass(slots=True)
class _Reading:
    """One reading of a file: the names, and what is wrong with it; ``each`` is a line or a row."""

    path: Path
    each: str = "line"
    columns: tuple[str, ...] = ()
    told: list[str] = field(default_factory=list)
    count: int = 0

    def mistake(self, number: int | None, what: str) -> None:
        """Note what is wrong with a line or row, or with the file as a whole."""
        self.count += 1
        if len(self.told) < _TOLD:
            self.told.append(f"it {what}" if number is None else f"{self.each} {number} {what}")

    def name(self, columns: list[str], line: int | None) -> bool:
        """Take the names of the columns; whether rows can be read."""
        self.columns = tuple(columns)
        for sentence in name_mistakes(columns):
            self.mistake(line, f"names the parameters: {sentence}")
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
            self.mistake(line, "has no comma; values are separated by commas, in a .tsv file by tabs.")
        return bool(columns)


def look_at(file: str, here: Path) -> TableFile:
    """Read a file once and say what it holds.

    Raises:
        UsageError: it can't be read, or isn't in order; up to twenty mistakes are told with their lines.
    """
    kind = _kind_of(here / file, file)
    reading = _Reading(here / file, kind.each)
    rows = sum(1 for _ in _rows(reading, file))
    if not reading.count and not rows:
        reading.mistake(None, "has no row of values, so there is no task.")
    if rows > MAX_TASKS:
        raise UsageError(f"{file} has {rows:,} rows; a job has at most {MAX_TASKS:,} tasks.")
    if reading.count:
        more = reading.count - len(reading.told)
        told = [*reading.told, f"and {more:,} more mistakes"] if more else reading.told
        raise UsageError(
            f"{file} is not a table of parameters:\n  " + "\n  ".join(told), next_step=kind.correct
        )
    return TableFile(reading.path, reading.columns, rows)


def rows_of(table: TableFile) -> Iterator[list[str]]:
    """The rows of a file that is in order."""
    return _rows(_Reading(table.path), table.path.name)


def _rows(reading: _Reading, file: str) -> Iterator[list[str]]:
    try:
        for line, row in _kind_of(reading.path, file).read(reading):
            if _is_sound(reading, line, row):
                yield row
    except UnicodeDecodeError as error:
        reading.mistake(_line_of(reading.path, error), "isn't UTF-8 text; write the file as UTF-8.")
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror or error}.") from error


def _kind_of(path: Path, file: str) -> _Kind:
    if kind := _KINDS.get(path.suffix.lower()):
        return kind
    raise UsageError(
        f"{file} is no kind of table that Offload knows: {' '.join(_KINDS)}.",
        next_step="Write a CSV file, or JSON lines with one object a line.",
    )


def _is_sound(reading: _Reading, line: int, row: list[str]) -> bool:
    """Whether every value can be a variable of a process."""
    whole = "".join(row)
    if "\0" in whole:
        reading.mistake(line, "has a NUL character, which no variable can hold.")
    elif len(whole) > MAX_VALUE // 4 and max(len(value.encode()) for value in row) > MAX_VALUE:
        reading.mistake(line, f"has a value larger than {MAX_VALUE:,} bytes. Write the path of a file.")
    else:
        return True
    return False


def _line_of(path: Path, error: UnicodeDecodeError) -> int:
    """The first line that isn't UTF-8: the text layer knows only where in its own buffer it stopped."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return error.start


def _csv(reading: _Reading) -> Iterator[tuple[int, list[str]]]:
    delimiter = "\t" if reading.path.suffix.lower() == ".tsv" else ","
    with reading.path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=delimiter, strict=True)
        begins, width = 1, 0
        try:
            for row in lines:
                if not width:
                    if row and not reading.name(row, begins):
                        return
                    width = len(row)
                elif row and len(row) != width:
                    reading.mistake(begins, _ragged(len(row), width))
                elif row:
                    yield begins, row
                begins = lines.line_num + 1
        except csv.Error as error:
            reading.mistake(begins, f"is no CSV: {error}.")
        if not width and not reading.count:
            reading.mistake(1, "is empty.")


def _ragged(values: int, columns: int) -> str:
    return f"has {values} value{'s' * (values != 1)} for {columns} parameter{'s' * (columns != 1)}."


def _json_lines(reading: _Reading) -> Iterator[tuple[int, list[str]]]:
    with reading.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip()
                pairs = json.loads(text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
            except json.JSONDecodeError as error:
                reading.mistake(number, f"is no JSON: {error.msg}, at character {error.pos + 1}.")
                continue
            except RecursionError:
                reading.mistake(number, "is nested too deeply.")
                continue
            row = _row_of(reading, number, pairs)
            if row is not None:
                yield number, row
        if not reading.columns and not reading.count:
            reading.mistake(1, "is empty.")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, so that a name that stands there twice is seen."""


def _row_of(reading: _Reading, line: int, pairs: object) -> list[str] | None:
    if not isinstance(pairs, _Pairs):
        reading.mistake(line, "is no JSON object.")
        return None
    values = dict(pairs)
    if not reading.columns and not reading.name([name for name, _ in pairs], line):
        reading.mistake(line, "is an empty object.")
        return None
    missing = [name for name in reading.columns if name not in values]
    extra = [name for name in values if name not in reading.columns]
    for names, what in ((missing, "lacks"), (extra, "has, unlike the first row,")):
        if names:
            reading.mistake(line, f"{what} {', '.join(map(repr, names))}.")
    nested = [name for name, value in pairs if isinstance(value, list)]
    if nested:
        reading.mistake(
            line, f"has a list or an object in {', '.join(map(repr, nested))}; a value is a text."
        )
    if missing or extra or nested:
        return None
    row = [_text(values[name]) for name in reading.columns]
    if not is_text("".join(row)):
        reading.mistake(line, "has a text that isn't valid Unicode.")
        return None
    return row


def _text(value: object) -> str:
    """A value as text: empty for what isn't there, and true and false as JSON writes them."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parquet(reading: _Reading) -> Iterator[tuple[int, list[str]]]:
    try:
        import pyarrow.parquet  # noqa: PLC0415  large
    except ImportError as error:
        raise UsageError(
            f"{reading.path.name} is a Parquet file, and the package that reads those isn't installed.",
            next_step=INSTALL,
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(reading.path) as file:
            columns = [str(name) for name in file.schema_arrow.names]
            if not reading.name(columns, None):
                return
            line = 0
            for batch in file.iter_batches():
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    line += 1
                    if nested := [
                        columns[at] for at, one in enumerate(values) if isinstance(one, list | dict)
                    ]:
                        reading.mistake(line, f"has a list or an object in {', '.join(map(repr, nested))}.")
                        continue
                    yield line, list(map(_text, values))
    except pyarrow.ArrowException as error:
        reading.mistake(None, f"can't be read: {str(error).rstrip('.')}.")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of table: how it is read, what its mistakes are counted in, and how to correct one."""

    read: Callable[[_Reading], Iterator[tuple[int, list[str]]]]
    each: str
    correct: str


_CSV: Final = _Kind(
    _csv, "line", "Correct the file; its first line names the parameters, and each other line is a task."
)
_JSON: Final = _Kind(
    _json_lines, "line", "Correct the file; each line is a task, an object with a value for each parameter."
)
_PARQUET: Final = _Kind(
    _parquet, "row", "Correct the file; its columns are the parameters, and each row is a task."
)
_KINDS: Final = {".csv": _CSV, ".tsv": _CSV, ".jsonl": _JSON, ".ndjson": _JSON, ".parquet": _PARQUET}
"""Every kind of table by suffix."""
