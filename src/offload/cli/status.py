"""``offload status`` and ``offload why``: one job, in full and in a sentence."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import unquote

import click

from offload.cli.at_rest import next_steps
from offload.cli.command import Command
from offload.cli.shared import connect, job_argument, json_option, print_json
from offload.cli.text import (
    ago,
    counts_text,
    duration_of,
    moment,
    number_of,
    resources_text,
    slowest_text,
    span,
    stand_of,
    state_word,
    table,
)
from offload.client.streams import past_events
from offload.model.reasons import Reason
from offload.model.resources import format_duration, format_memory, format_size
from offload.model.spec import Spec
from offload.model.states import State
from offload.model.usage import Spread, Usage
from offload.wire.api import AttemptView, EventView, JobView, TaskView
from offload.wire.codec import convert, encode

_SHOWN: Final = 50
"""Tasks that the table lists; ``--json`` lists all."""
_HISTORY: Final = 20
"""Events that ``why`` lists."""
_TROUBLES: Final = {
    "waiting": "waits",
    "runner_ended": "a runner ended before it began",
    "attempt_lost": "was lost and is tried again",
    "attempt_failed": "failed and is tried again",
    "paused": "was paused",
    "gave_up": "gave up, because enough tasks had failed (--fail-fast)",
}
_STEPS: Final = {
    "submitted": "submitted",
    "job_started": "began",
    "resumed": "was resumed",
    "cancel_requested": "to be cancelled",
    "job_ended": "ended",
}


@click.command(
    "status",
    cls=Command,
    examples=(
        "offload status k7m2q9x",
        "offload status k7m2q9x --json | jq '.tasks[].attempts[-1].use.peak_memory'",
    ),
)
@job_argument()
@json_option('{"job": JobView, "tasks": [TaskView…], "usage": Usage or null}')
def status_command(*, job_id: str, as_json: bool) -> None:
    """Show a job: state, what was asked, what was used."""
    with connect() as api:
        job = api.job(job_id)
        if as_json:
            _print_json(job, api.tasks(job_id), api.usage(job_id))
            return
        tasks = list(api.tasks(job_id, limit=_SHOWN))
        usage = api.usage(job_id) if job.ended else None
    now = time.time()
    click.echo(f"{job.id}  {job.spec.name}  {state_word(stand_of(job))}")
    for label, value in [*_facts(job, now), *usage_facts(usage)]:
        click.echo(f"  {label:<10} {value}")
    click.echo("\n" + _attempts_table(job, tasks, now))
    if job.counts.total > len(tasks):
        click.echo(f"  … and {job.counts.total - len(tasks)} more tasks: offload status {job.id} --json")


def _print_json(job: JobView, tasks: Iterable[TaskView], usage: Usage | None) -> None:
    """One line, as :func:`print_json` has it, but of more tasks than memory should hold at a time."""
    write = sys.stdout.buffer.write
    write(b'{"job":' + encode(job) + b',"tasks":[')
    for number, task in enumerate(tasks):
        write((b"," if number else b"") + encode(task))
    write(b'],"usage":' + encode(usage) + b"}\n")


def _facts(job: JobView, now: float) -> list[tuple[str, str]]:
    spec = job.spec
    asked = resources_text(spec.resources)
    if spec.time_limit is not None:
        asked += f", at most {format_duration(spec.time_limit)}"
    if spec.warn is not None:
        asked += f", {spec.warn}"
    facts = [("command", shlex.join(spec.command)), ("cluster", spec.cluster), ("asked", asked)]
    facts += [(label, value) for label, value in _surroundings(spec) if value]
    if job.reason:
        facts.append(("because", _reason_text(job.reason)))
    if job.is_paused:
        facts.append(("next", next_steps(job)))
    if spec.is_array:
        facts.append(("tasks", f"{job.counts.total}: {counts_text(job.counts)}"))
    if job.slowest:
        facts.append(("slowest", slowest_text(job.slowest, now)))
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


def usage_facts(usage: Usage | None) -> list[tuple[str, str]]:
    """What attempts used, and what would have fitted; nothing where nothing is known."""
    if usage is None:
        return []
    memory, cpus, wall = usage.memory, usage.cpus, usage.wall
    used = f"memory {format_memory(int(memory.max))}, {cpus.max:.1f} CPUs, {format_duration(wall.max)}"
    if usage.attempts > 1:
        used = (
            f"memory {_spread(memory, lambda size: format_memory(int(size)))}; "
            f"CPUs {_spread(cpus, lambda number: f'{number:.1f}')}; "
            f"time {_spread(wall, format_duration)} (half below, 95 % below, most)"
        )
    fits = f"--cpus {usage.fits_cpus:g} --memory {usage.fits_memory >> 20}Mi"
    return [("used", used), ("would fit", fits)]


def _spread(spread: Spread, text: Callable[[float], str]) -> str:
    return ", ".join(map(text, (spread.p50, spread.p95, spread.max)))


def _surroundings(spec: Spec) -> list[tuple[str, str]]:
    return [
        ("image", spec.image or ""),
        ("profile", spec.profile or ""),
        ("mounts", ", ".join(spec.mounts)),
        ("queue", spec.queue or ""),
    ]


def _reason_text(reason: Reason) -> str:
    return f"{reason.sentence} ({reason.words})" if reason.words else reason.sentence


def _attempts_table(job: JobView, tasks: Sequence[TaskView], now: float) -> str:
    names = job.spec.parameters.names if job.spec.parameters else ()
    rows: list[Sequence[str]] = []
    for task in tasks:
        begin = (str(task.index), *((task.parameters or {}).get(name, "") for name in names))
        if not task.attempts:
            why = task.reason.sentence if task.reason else ""
            rows.append((*begin, "", task.state.value, "", "", "", "", "", "", why))
        rows += [(*begin, *_attempt_cells(attempt, now)) for attempt in task.attempts]
    headers: Sequence[str] = (
        "task",
        *names,
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
        format_size(use.bytes_in) if use else "",
        format_size(use.bytes_out) if use else "",
        attempt.reason.sentence if attempt.reason else "",
    )


@click.command("why", cls=Command, examples=("offload why k7m2q9x",))
@job_argument()
@json_option(
    '{"job": id, "state": state, "target": target, "reason": Reason or null, "sentence": text, '
    '"history": [EventView…]}'
)
def why_command(*, job_id: str, as_json: bool) -> None:
    """Say in a sentence why a job waits, failed or runs.

    What it waited for before, and what went wrong on the way, follows with the time at which it began. All
    of this is kept with the job, also when the cluster has forgotten it.
    """
    with connect() as api:
        job = api.job(job_id)
        failed = next(api.tasks(job_id, state="failed", limit=1), None) if job.counts.failed else None
        history = past_events(api, job_id, [*_TROUBLES, *_STEPS])
    sentence = explain(job, failed, time.time())
    if as_json:
        facts = {"job": job.id, "state": job.state, "target": job.target, "reason": job.reason}
        print_json({**facts, "sentence": sentence, "history": history})
        return
    click.echo(sentence)
    if job.is_paused:
        click.echo(f"  {next_steps(job)}")
    if lines := history_lines(history):
        click.echo("\n" + "\n".join(lines))


def history_lines(history: Sequence[EventView]) -> list[str]:
    """A line for each event, the latest last; none where nothing was waited for and nothing went wrong."""
    if not any(event.kind in _TROUBLES for event in history):
        return []
    lines = [f"  {moment(event.at)}  {_event_text(event)}" for event in history[-_HISTORY:]]
    left_out = len(history) - len(lines)
    return [f"  … {left_out} before; --json has all", *lines] if left_out else lines


def _event_text(event: EventView) -> str:
    what = {**_TROUBLES, **_STEPS}[event.kind]
    if event.task is not None:
        what = f"task {event.task} {what}"
    if by := event.data.get("by"):
        what = f"{what} by {by}"
    reason = event.data.get("reason")
    return f"{what}: {_reason_text(convert(reason, Reason))}" if reason else what


def explain(job: JobView, failed: TaskView | None, now: float) -> str:
    """Why a job is in its state, in one or two sentences.

    Args:
        job: the job.
        failed: its first failed task, if it has one.
        now: seconds since the epoch.
    """
    name = f"{job.id} ({job.spec.name})"
    because = f" {_reason_text(job.reason)}" if job.reason else ""
    if not job.state.is_terminal:
        return f"{name} {_doing(job, now)}.{because}"
    if job.state is State.SUCCEEDED:
        return f"{name} succeeded after {duration_of(job, now)}."
    if job.state is State.CANCELLED:
        return f"{name} was cancelled.{because}"
    if job.spec.is_array and failed:
        first = failed.reason.sentence if failed.reason else "It gave no reason."
        share = f"{job.counts.failed} of {job.counts.total} tasks"
        return f"{name} failed: {share} did. Task {failed.index}: {first}"
    return f"{name} failed.{because}"


def _doing(job: JobView, now: float) -> str:
    """What an unfinished job does, as the rest of a sentence."""
    if job.is_paused:
        runs = f", {number_of(job.counts.running, 'task')} still running" if job.counts.running else ""
        return f"is paused{runs}"
    if job.state is State.PENDING:
        return f"has been waiting for {span(now - job.created)} on {job.spec.cluster}"
    since = f"running for {duration_of(job, now)} on {job.spec.cluster}"
    return f"is being cancelled; it has been {since}" if job.target == "cancelled" else f"has been {since}"
