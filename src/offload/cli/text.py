"""Words and tables for people: states, ages, sizes, columns.

Hand-made, because a table library costs more time to import than ``offload jobs`` may take.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from typing import Final

from offload.cli.fitting import breadth, narrowed, shortened
from offload.cli.terminal import STDOUT, is_terminal, paint, wants_colour
from offload.model.counts import Counts
from offload.model.resources import Resources, format_cpus, format_duration, format_gpus, format_memory
from offload.wire.api import JobView, Slowest

STATE_STYLES: Final = {
    "pending": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "dim",
    "lost": "yellow",
}
_GAP: Final = "  "


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    indent: str = "",
    whole: Collection[str] = (),
) -> str:
    """Columns as wide as their content.

    On a terminal long cells are cut, so that a row fits into a line, but in the columns called ``whole``.
    """
    cells = [list(headers), *(list(map(_one_line, row)) for row in rows)]
    widths = [max(breadth(row[at]) for row in cells) for at in range(len(headers))]
    if is_terminal(STDOUT):
        gaps = len(indent) + len(_GAP) * (len(widths) - 1)
        named = zip(headers, widths, strict=True)
        least = [width if name in whole else breadth(name) for name, width in named]
        widths = narrowed(widths, least, shutil.get_terminal_size().columns - gaps)
    colour = wants_colour(STDOUT)
    lines = []
    for number, row in enumerate(cells):
        padded = [_padded(shortened(cell, width), width) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = padded[-1].rstrip()
        styled = [
            paint(cell, "bold" if number == 0 else STATE_STYLES.get(cell.strip(), ""), colour=colour)
            for cell in padded
        ]
        lines.append((indent + _GAP.join(styled)).rstrip())
    return "\n".join(lines)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - breadth(text))


def indented(text: str, width: int = 2) -> str:
    """Each line of a text further to the right."""
    return "\n".join(f"{'':{width}}{line}" for line in text.splitlines())


def _one_line(text: str) -> str:
    return " ".join(text.split()) if text.isprintable() is False else text


def state_word(state: str) -> str:
    """A state, in its colour on a terminal."""
    return paint(state, STATE_STYLES.get(state, ""), colour=wants_colour(STDOUT))


def stand_of(job: JobView) -> str:
    """Where a job stands, in a word: its state, or that it is paused."""
    return "paused" if job.is_paused else job.state.value


def ago(then: float, now: float) -> str:
    """``3m ago``; a clock that runs behind gives ``0s ago``."""
    return f"{span(now - then)} ago"


def span(seconds: float) -> str:
    """A duration in whole seconds and its largest units."""
    return format_duration(seconds) if seconds >= 60 else f"{max(seconds, 0):.0f}s"  # noqa: PLR2004


def moment(then: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))


def duration_of(job: JobView, now: float) -> str:
    """How long a job has run, or ran; empty if it never started."""
    return "" if job.started is None else span((job.ended or now) - job.started)


def number_of(count: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {thing}" if count == 1 else f"{count:,} {thing}s"


def resources_text(resources: Resources) -> str:
    """``2 CPUs, 4 GiB memory, 1 GPU``."""
    parts = [format_cpus(resources.cpus)]
    if resources.memory is not None:
        parts.append(f"{format_memory(resources.memory)} memory")
    if resources.gpus:
        parts.append(format_gpus(resources.gpus))
    return ", ".join(parts)


def counts_text(counts: Counts) -> str:
    """``18 succeeded, 2 failed`` of 20."""
    named = {
        "pending": counts.pending,
        "running": counts.running,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }
    return ", ".join(f"{count} {state}" for state, count in named.items() if count)


def whose(job: JobView, task: int | None) -> str:
    """Which task something is about; of a job with one task, which job."""
    return f"task {task} of {job.id}" if job.spec.is_array else job.id


def slowest_text(slowest: Slowest, now: float) -> str:
    """``task 17, for 3m``."""
    return f"task {slowest.task}, for {span(now - slowest.since)}"
