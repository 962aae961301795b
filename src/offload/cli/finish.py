"""The end of a job as the person sees it: what came home, why it failed, and the exit status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from offload.cli.follow import progress
from offload.cli.terminal import Terminal
from offload.cli.text import number_of
from offload.client.api import Api
from offload.client.collect import Collected, collect
from offload.errors import OWN_FAILURE, OffloadError
from offload.model.file_names import listed, shown
from offload.model.reasons import ReasonCode
from offload.model.resources import format_size
from offload.model.states import State
from offload.wire.api import JobView

TIMED_OUT: Final = 124
CANCELLED: Final = 130
_NAMED: Final = 5
"""Files that a summary names, at most."""


def exit_status(job: JobView) -> int:
    """What a command that followed the job to its end exits with: the script's own status, if it had one."""
    if job.state is State.SUCCEEDED:
        return 0
    if job.state is State.CANCELLED:
        return CANCELLED
    if job.reason and job.reason.code is ReasonCode.TIMEOUT:
        return TIMED_OUT
    return job.exit_status or OWN_FAILURE


def finish(api: Api, job: JobView, terminal: Terminal) -> int:
    """Bring results home and say how the job ended; returns the exit status.

    On a terminal a summary is shown. Elsewhere stderr stays the script's, unless something needs attention.
    """
    try:
        with progress(terminal, f"{job.id} bringing results home"):
            collected = collect(api, job)
    except OffloadError as error:
        if job.state is State.FAILED:
            say_failure(job, terminal)
        error.next_step = error.next_step or f"Nothing is lost: offload collect {job.id} --to DIR"
        raise
    summary = summarise(job, collected)
    if terminal.is_watched or summary.beside:
        for line in summary.lines:
            terminal.say(f"offload: {line}", style="yellow" if line in summary.beside else "dim")
    if job.state is State.FAILED:
        say_failure(job, terminal)
    elif job.state is State.CANCELLED:
        terminal.say(f"offload: {job.id} was cancelled.", style="yellow")
    return exit_status(job)


def say_failure(job: JobView, terminal: Terminal) -> None:
    """Why it failed, and where to look."""
    sentence = job.reason.sentence if job.reason else "It failed."
    terminal.say(f"offload: {job.id} failed: {sentence}", style="red")
    if job.reason and job.reason.words:
        terminal.say(f"  {job.reason.words}")
    if job.counts.failed > 1:
        terminal.say(f"  By cause: offload failures {job.id}   Once more: offload rerun {job.id} --failed")
    else:
        terminal.say(f"  More: offload why {job.id}   Output: offload logs {job.id}")


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines on what came home; ``beside`` are those about files that were in the way and are kept."""

    lines: tuple[str, ...]
    beside: tuple[str, ...]


def summarise(job: JobView, collected: Sequence[Collected]) -> Summary:
    """What came home of a job, in a few lines."""
    new = [_name(job, item, path) for item in collected for path in item.report.new]
    changed = [_name(job, item, path) for item in collected for path in item.report.changed]
    beside = tuple(_kept(job, item, path, other) for item in collected for path, other in item.report.beside)
    parts = [
        f"{number_of(len(names), word + ' file')}: {listed(names, _NAMED)}"
        for names, word in ((new, "new"), (changed, "changed"))
        if names
    ]
    total = sum(item.size for item in collected)
    lines = [f"came home ({format_size(total)}): {'; '.join(parts)}"] if parts else []
    return Summary((*lines, *beside), beside)


def _kept(job: JobView, item: Collected, path: bytes, other: bytes) -> str:
    why = "changed meanwhile" if path in item.edited else "was there already"
    return f"kept your {_name(job, item, path)}, which {why}; the job's is {_name(job, item, other)}"


def _name(job: JobView, item: Collected, path: bytes) -> str:
    text = shown(path)
    return f"{os.path.relpath(item.target)}/{text}" if job.spec.is_array else text
