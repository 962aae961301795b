"""Rows as a Parquet file, with columns of one type each: what Parquet needs and JSON doesn't promise.

The columns that every table has are always of the same type, and parameters are text, so that the tables of
two jobs fit together. Of what tasks found, a column is of whole numbers, of numbers, of yes and no, or else
of text; what is neither (a list, an object, mixed types) is written as JSON text. ``pyarrow`` is large and
asked for only here and where tables are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from offload.client.columns import BUILT_IN, Kind
from offload.errors import UsageError
from offload.wire.codec import text_of

_GROUP: Final = 10_000
"""Rows that are in memory at a time."""
_LARGEST: Final = (1 << 63) - 1
_BUILT_IN: Final = {
    Kind.TEXT: "text",
    Kind.COUNT: "int",
    Kind.MOMENT: "float",
    Kind.DURATION: "float",
    Kind.SIZE: "int",
}
INSTALL: Final = "Install it where Offload is installed (pip install pyarrow), or use CSV."


def write_parquet(path: Path, columns: Sequence[str], rows: Callable[[], Iterable[dict[str, Any]]]) -> int:
    """Write rows of a table of tasks to a file; how many there were.

    Args:
        path: the file, which is replaced.
        columns: their names, in order.
        rows: gives the rows, each with all columns; called twice.

    Raises:
        UsageError: ``pyarrow`` isn't installed, or the file can't be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  large
        import pyarrow.parquet as pq  # noqa: PLC0415  large
    except ImportError as error:
        raise UsageError("Writing Parquet needs the package pyarrow.", next_step=INSTALL) from error
    kinds = _kinds(columns, rows())
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    schema = pa.schema([(name, types.get(kinds[name], pa.string())) for name in columns])
    count = 0
    try:
        with pq.ParquetWriter(path, schema) as writer:
            for group in _groups(rows()):
                count += len(group)
                cells = [{name: _cell(row[name], kinds[name]) for name in columns} for row in group]
                writer.write_table(pa.Table.from_pylist(cells, schema=schema))
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}.") from error
    return count


def _kinds(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The kind of each column; only those that not every table has are looked at."""
    known = {name: _BUILT_IN[BUILT_IN[name]] for name in columns if name in BUILT_IN}
    found = {name: "" for name in columns if name not in known}
    for row in rows if found else ():
        for name, kind in found.items():
            if row[name] is not None:
                found[name] = _both(kind, _kind(row[name]))
    return known | found


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return "text"
    return type(value).__name__ if isinstance(value, (bool, int, float)) else "text"


def _both(one: str, other: str) -> str:
    if not one or one == other:
        return other
    return "float" if {one, other} == {"int", "float"} else "text"


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rows = iter(rows)
    return iter(lambda: list(islice(rows, _GROUP)), [])


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    # What a column of numbers can't hold exactly, pyarrow would refuse.
    return float(value) if kind == "float" else text_of(value) if kind == "text" else value
