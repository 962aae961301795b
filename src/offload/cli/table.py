"""``offload table``: what makes a job's tasks differ, how they went, and what they found."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from offload.cli.command import Command
from offload.cli.follow import progress
from offload.cli.shared import connect, job_argument, json_option
from offload.cli.terminal import Terminal
from offload.cli.text import number_of, table
from offload.client.conditions import parse_conditions, state_wanted
from offload.client.parquet import write_parquet
from offload.client.task_table import TaskTable
from offload.errors import UsageError
from offload.model.resources import format_duration, format_memory
from offload.wire.codec import encode, text_of

_SHOWN: Final = 100
"""Rows that are shown without --csv or --json."""
_UNSHOWN: Final = ("started", "ended", "cpu", "memory_limit")
"""Columns that are told only to programs."""


@click.command(
    "table",
    cls=Command,
    examples=(
        "offload table k7m2q9x --csv > runs.csv",
        "offload table k7m2q9x --parquet runs.parquet",
        "offload table k7m2q9x --where 'state==succeeded' --where 'loss<0.1'",
    ),
)
@job_argument()
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, all columns and rows.")
@click.option(
    "--parquet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a Parquet file, all columns and rows. Needs the package pyarrow.",
)
@json_option('a list of rows, {"task", …}')
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Only rows that meet it: 'state==failed', 'lr<0.1', 'wall>2m', 'peak_memory>8Gi'; "
    "with ==, !=, <, <=, >, >=. Repeatable.",
)
def table_command(
    *, job_id: str, as_csv: bool, parquet: Path | None, as_json: bool, conditions: tuple[str, ...]
) -> None:
    """Show a job's tasks as a table: parameters, state, use, results.

    What a task writes to $OFFLOAD_RESULT, a JSON object, becomes columns. The first 100 rows are shown; CSV,
    JSON and Parquet have all, with times in seconds since the epoch, durations in seconds, memory in bytes.
    """
    if as_csv + as_json + (parquet is not None) > 1:
        raise UsageError(
            "--csv, --json and --parquet are forms of one output.", next_step="Choose one of them."
        )
    wanted = parse_conditions(conditions)
    # A form for programs has the same columns whatever the conditions, which takes all tasks to know.
    is_for_people = not (as_csv or as_json or parquet)
    state = state_wanted(wanted) if is_for_people else None
    # Whatever follows the rows that are shown is only counted, and the job has counted its tasks by state.
    is_start = is_for_people and len(wanted) == (state is not None)
    with connect() as api:
        job = api.job(job_id)
        names = job.spec.parameters.names if job.spec.parameters else ()
        with progress(Terminal(), f"{job_id} reading its tasks"):
            tasks = api.tasks(job_id, state=state, limit=_SHOWN if is_start else None)
            found = TaskTable(tasks, names, wanted)
    counted = job.counts.total if state is None else job.counts.of(state)
    with found:
        if parquet is not None:
            count = write_parquet(parquet, found.columns, found.rows)
            click.echo(f"{parquet}: {number_of(count, 'row')}")
        elif as_csv:
            _print_csv(found.columns, found.rows())
        elif as_json:
            _print_json(found.rows())
        else:
            _print_text(job_id, found, counted if is_start else found.count)


def _print_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])


def _print_json(rows: Iterable[dict[str, Any]]) -> None:
    begun = False
    for row in rows:
        sys.stdout.buffer.write((b"," if begun else b"[") + encode(row) + b"\n")
        begun = True
    sys.stdout.buffer.write(b"]\n" if begun else b"[]\n")


def _print_text(job: str, found: TaskTable, count: int) -> None:
    if not found.count:
        click.echo("No task is like that.")
        return
    names = [name for name in found.columns if name not in _UNSHOWN]
    shown = [[_words(name, row[name]) for name in names] for row in islice(found.rows(), _SHOWN)]
    click.echo(table(names, shown))
    if (more := count - len(shown)) > 0:
        click.echo(f"… and {more:,} more: offload table {job} --csv")


def _words(name: str, value: Any) -> str:
    if value is not None and name == "peak_memory":
        return format_memory(int(value))
    if value is not None and name == "wall":
        return format_duration(value)
    return _cell(value)


def _cell(value: Any) -> str:
    return "" if value is None else text_of(value)
