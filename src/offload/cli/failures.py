"""``offload failures``: the failed tasks of a job by cause."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Final

import click

from offload.cli.at_rest import ways_on
from offload.cli.command import Command
from offload.cli.fitting import shortened
from offload.cli.shared import connect, job_argument, json_option, print_json
from offload.cli.terminal import STDOUT, is_terminal
from offload.cli.text import indented, number_of
from offload.client.api import Api
from offload.client.failures import Cause, find_causes
from offload.client.streams import end_of_logs
from offload.errors import ResultsGoneError
from offload.model.array import Array
from offload.wire.api import JobView
from offload.wire.frames import Stream

_SHOWN: Final = 10
"""Causes that are shown; ``--json`` tells all."""
_RANGES: Final = 8
"""Ranges of tasks that a cause names."""
_LINES: Final = 5
"""Of the output of one task of each cause."""
_END: Final = 1 << 16
"""Bytes of log frames in which these lines are."""


@click.command(
    "failures",
    cls=Command,
    examples=(
        "offload failures k7m2q9x",
        "offload rerun k7m2q9x --cause 2 --memory 2x",
    ),
)
@job_argument()
@json_option('[{"cause", "code", "exit_status", "sentence", "words", "count", "tasks": "1-4,9"}…]')
def failures_command(*, job_id: str, as_json: bool) -> None:
    """Group a job's failed tasks by cause, the most frequent first.

    Tasks failed alike when the reason, the exit status and the last error that the script printed are the
    same, but for numbers, paths and ids. The end of one task's output is shown for each.
    """
    with connect() as api:
        job = api.job(job_id)
        causes = find_causes(api, job_id)
        if as_json:
            print_json([_facts(number, cause) for number, cause in enumerate(causes, 1)])
            return
        click.echo("\n".join(_lines(api, job, causes)))


def _facts(number: int, cause: Cause) -> dict[str, object]:
    return {
        "cause": number,
        "code": cause.code,
        "exit_status": cause.exit_status,
        "sentence": cause.sentence,
        "words": cause.words,
        "count": len(cause.tasks),
        "tasks": str(Array.of(cause.tasks)),
    }


def _lines(api: Api, job: JobView, causes: list[Cause]) -> Iterator[str]:
    so_far = "" if job.state.is_terminal else " so far"
    if not causes:
        yield f"{job.id} ({job.spec.name}): no task has failed{so_far}."
        return
    ways = "" if len(causes) == 1 else f", in {len(causes)} ways"
    of_all = f"{job.counts.failed:,} of {number_of(job.counts.total, 'task')}"
    yield f"{job.id} ({job.spec.name}): {of_all} failed{so_far}{ways}"
    for number, cause in enumerate(causes[:_SHOWN], 1):
        yield ""
        yield from _about(api, job, number, cause)
    if len(causes) > _SHOWN:
        yield f"\n… and {len(causes) - _SHOWN} more causes: offload failures {job.id} --json"
    yield ""
    yield f"All of an output: offload logs --task {causes[0].tasks[0]} {job.id}"
    if job.is_paused:
        yield ways_on(job)
        return
    yield f"Run them again:   offload rerun {job.id} --failed   or only one cause: --cause 1"


def _about(api: Api, job: JobView, number: int, cause: Cause) -> Iterator[str]:
    example = cause.tasks[0]
    yield f"{number}. {number_of(len(cause.tasks), 'task')}: {cause.words or cause.sentence}"
    if cause.words:
        yield f"   {cause.sentence}"
    yield f"   {'tasks' if len(cause.tasks) > 1 else 'task'} {_named(cause.tasks)}"
    if output := _end_of_output(api, job, example):
        yield f"   task {example} printed last:"
        yield "\n".join(map(_fitting, indented(output, 6).split("\n")))


def _fitting(line: str) -> str:
    return shortened(line, shutil.get_terminal_size().columns) if is_terminal(STDOUT) else line


def _named(tasks: list[int]) -> str:
    parts = str(Array.of(tasks)).split(",")
    return ", ".join(parts[:_RANGES]) + (", …" if len(parts) > _RANGES else "")


def _end_of_output(api: Api, job: JobView, task: int) -> str:
    """The last lines that a task's last attempt printed, whatever the stream."""
    try:
        frames = [
            frame
            for frame in end_of_logs(api, job.id, task=task, size=_END)
            if frame.stream is not Stream.NOTICE
        ]
    except ResultsGoneError:
        return ""
    printed = b"".join(frame.data for frame in frames if frame.attempt == frames[-1].attempt)
    lines = [line for line in printed.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(
        "".join(char if char.isprintable() else " " for char in line) for line in lines[-_LINES:]
    )
