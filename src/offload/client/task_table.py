"""The tasks of a job as one table: parameters, how each went, what it used, and what it found.

What tasks wrote to ``$OFFLOAD_RESULT`` becomes columns, and which there are is known only once all have been
seen. So rows wait in a temporary file meanwhile, and a million of them need no more memory than ten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from offload.client.columns import FATE, INDEX
from offload.client.conditions import Condition, Fit
from offload.wire.api import TaskView
from offload.wire.codec import decode, encode

_PREFIX: Final = "result."
_IN_MEMORY: Final = 1 << 20
"""Bytes of rows that need no file."""


class TaskTable:
    """Rows of a job's tasks, in index order.

    Args:
        tasks: the tasks.
        parameters: names of what makes them differ.
        conditions: what each row must meet.

    Attributes:
        columns: ``task``, the parameters, how it went and what it used (times in seconds since the epoch,
            durations in seconds, memory in bytes; of the last attempt), then the keys of all results. A key
            whose name is taken is ``result.NAME``.
        count: how many rows there are.

    Raises:
        UsageError: a condition is about a column that isn't there, or compares one with what it can't hold.
    """

    def __init__(
        self, tasks: Iterable[TaskView], parameters: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> None:
        self.count = 0
        own = (*INDEX, *parameters, *FATE)
        fit = Fit(conditions)
        self._rows = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed at the end
        try:
            self.columns: tuple[str, ...] = (*own, *self._keep(tasks, frozenset(own), conditions, fit))
            fit.demand(self.columns)
        except BaseException:
            self._rows.close()
            raise

    def _keep(
        self, tasks: Iterable[TaskView], own: Collection[str], conditions: Sequence[Condition], fit: Fit
    ) -> Iterable[str]:
        """Keep the rows that meet the conditions; the keys of all results."""
        found: dict[str, None] = {}
        for task in tasks:
            results = {_column_of(key, own): value for key, value in (task.result or {}).items()}
            found |= dict.fromkeys(results)
            row = {**_row_of(task), **results}
            fit.see(row)
            if all(condition.holds(row) for condition in conditions):
                self._rows.write(encode(row) + b"\n")
                self.count += 1
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, each with every column; one pass at a time."""
        self._rows.seek(0)
        empty = dict.fromkeys(self.columns)
        for line in self._rows:
            yield empty | decode(line, dict)


def _column_of(key: str, own: Collection[str]) -> str:
    """The column of a result's key, which no other key has."""
    name = key
    while name.startswith(_PREFIX):
        name = name.removeprefix(_PREFIX)
    return _PREFIX + key if name in own else key


def _row_of(task: TaskView) -> dict[str, Any]:
    last = task.attempts[-1] if task.attempts else None
    use = last.use if last else None
    return {
        "task": task.index,
        **(task.parameters or {}),
        "state": task.state.value,
        "reason": task.reason.code.value if task.reason else None,
        "exit_status": task.exit_status,
        "attempts": len(task.attempts),
        "started": last.started if last else None,
        "ended": last.ended if last else None,
        "wall": use.wall if use else None,
        "cpu": use.cpu if use else None,
        "peak_memory": use.peak_memory if use else None,
        "memory_limit": last.memory if last else None,
    }
