"""``offload status`` and ``offload why``: one job, in full and in a sentence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from itertools import islice
from typing import Final
from urllib.parse import unquote

import click

from offload.cli.command import Command
from offload.cli.shared import job_argument, json_option, print_json
from offload.cli.text import (
    ago,
    counts_text,
    duration_of,
    moment,
    resources_text,
    size,
    span,
    state_word,
    table,
    total,
)
from offload.client.api import Api
from offload.model.reasons import Reason
from offload.model.resources import format_duration, format_memory
from offload.model.states import State
from offload.wire.api import AttemptView, JobView, TaskView

_SHOWN: Final = 50
"""Tasks that the table lists; ``--json`` lists all."""


@click.command(
    "status",
    cls=Command,
    examples=(
        "offload status k7m2q9x",
        "offload status k7m2q9x --json | jq '.tasks[].attempts[-1].use.peak_memory'",
    ),
)
@job_argument()
@json_option('{"job": JobView, "tasks": [TaskView…]}')
def status_command(*, job_id: str, as_json: bool) -> None:
    """Show a job: state, what was asked, what was used."""
    with Api() as api:
        job = api.job(job_id)
        if as_json:
            print_json({"job": job, "tasks": list(api.tasks(job_id))})
            return
        tasks = list(islice(api.tasks(job_id), _SHOWN))
    now = time.time()
    click.echo(f"{job.id}  {job.spec.name}  {state_word(job.state.value)}")
    for label, value in _facts(job, now):
        click.echo(f"  {label:<10} {value}")
    click.echo("\n" + _attempts_table(job, tasks, now))
    if total(job.counts) > len(tasks):
        click.echo(f"  … and {total(job.counts) - len(tasks)} more tasks: offload status {job.id} --json")


def _facts(job: JobView, now: float) -> list[tuple[str, str]]:
    spec = job.spec
    asked = resources_text(spec.resources)
    if spec.time_limit is not None:
        asked += f", at most {format_duration(spec.time_limit)}"
    facts = [("command", shlex.join(spec.command)), ("cluster", spec.cluster), ("asked", asked)]
    if job.reason:
        facts.append(("because", _reason_text(job.reason)))
    if spec.is_array:
        facts.append(("tasks", f"{total(job.counts)}: {counts_text(job.counts)}"))
    facts.append(("submitted", f"{moment(job.created)} ({ago(job.created, now)})"))
    if job.started is not None:
        facts.append(("ran", duration_of(job, now)))
    host, _, path = spec.home.removeprefix("file://").partition("/")
    facts.append(("home", f"/{unquote(path)} on {host}"))
    if job.results_removed:
        facts.append(("results", "removed, past their retention"))
    elif job.results_expire is not None:
        facts.append(("results", f"kept until {moment(job.results_expire)}"))
    return facts


def _reason_text(reason: Reason) -> str:
    return f"{reason.sentence} ({reason.words})" if reason.words else reason.sentence


def _attempts_table(job: JobView, tasks: Sequence[TaskView], now: float) -> str:
    rows: list[Sequence[str]] = []
    for task in tasks:
        if not task.attempts:
            why = task.reason.sentence if task.reason else ""
            rows.append((str(task.index), "", task.state.value, "", "", "", "", "", "", why))
        rows += [(str(task.index), *_attempt_cells(attempt, now)) for attempt in task.attempts]
    headers: Sequence[str] = (
        "task",
        "attempt",
        "state",
        "exit",
        "wall",
        "cpu",
        "peak memory",
        "in",
        "out",
        "reason",
    )
    if not job.spec.is_array:
        headers, rows = headers[1:], [row[1:] for row in rows]
    return table(headers, rows, indent="  ")


def _attempt_cells(attempt: AttemptView, now: float) -> tuple[str, ...]:
    use = attempt.use
    wall = use.wall if use else (attempt.ended or now) - attempt.started
    return (
        str(attempt.number),
        attempt.state.value,
        "" if attempt.exit_status is None else str(attempt.exit_status),
        format_duration(max(wall, 0.0)),
        format_duration(use.cpu) if use else "",
        format_memory(use.peak_memory) if use else "",
        size(use.bytes_in) if use else "",
        size(use.bytes_out) if use else "",
        attempt.reason.sentence if attempt.reason else "",
    )


@click.command("why", cls=Command, examples=("offload why k7m2q9x",))
@job_argument()
@json_option('{"job": id, "state": state, "reason": Reason or null, "sentence": text}')
def why_command(*, job_id: str, as_json: bool) -> None:
    """Say in a sentence why a job waits, failed or runs."""
    with Api() as api:
        job = api.job(job_id)
        failed = next(iter(api.tasks(job_id, state="failed")), None) if job.counts.failed else None
    sentence = explain(job, failed, time.time())
    if as_json:
        print_json({"job": job.id, "state": job.state, "reason": job.reason, "sentence": sentence})
    else:
        click.echo(sentence)


def explain(job: JobView, failed: TaskView | None, now: float) -> str:
    """Why a job is in its state, in one or two sentences.

    Args:
        job: the job.
        failed: its first failed task, if it has one.
        now: seconds since the epoch.
    """
    name = f"{job.id} ({job.spec.name})"
    because = f" {_reason_text(job.reason)}" if job.reason else ""
    if job.state is State.PENDING:
        return f"{name} has been waiting for {span(now - job.created)} on {job.spec.cluster}.{because}"
    if job.state is State.RUNNING:
        doing = "is being cancelled; it has been" if job.target == "cancelled" else "has been"
        return f"{name} {doing} running for {duration_of(job, now)} on {job.spec.cluster}.{because}"
    if job.state is State.SUCCEEDED:
        return f"{name} succeeded after {duration_of(job, now)}."
    if job.state is State.CANCELLED:
        return f"{name} was cancelled.{because}"
    if job.spec.is_array and failed:
        first = failed.reason.sentence if failed.reason else "It gave no reason."
        share = f"{job.counts.failed} of {total(job.counts)} tasks"
        return f"{name} failed: {share} did. Task {failed.index}: {first}"
    return f"{name} failed.{because}"
