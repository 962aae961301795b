"""How a job stands, in the parts of a line: pure, time comes in as a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from offload.cli.fitting import Part
from offload.cli.pace import Pace
from offload.cli.text import number_of, resources_text, slowest_text, span, stand_of
from offload.model.counts import Counts
from offload.model.states import State
from offload.wire.api import JobView

_SLOW: Final = 10.0
"""Seconds for which a task runs before it is told as the slowest."""
_NAME: Final = 12
"""Characters of a job's name that are shown where there is little room."""
_SENTENCE: Final = 24
"""Characters of a reason that are shown at least."""


def status_parts(job: JobView, now: float, pace: Pace | None = None) -> list[Part]:
    """How a job stands, as the parts of a line; ``pace`` is told, and says when an array may be done."""
    parts = who(job)
    because = [Part(text=job.reason.sentence, least=_SENTENCE)] if job.reason else []
    if job.state is State.PENDING:
        stands = "paused" if job.is_paused else f"waiting {span(now - job.created)}"
        return [*parts, Part(text=stands), *because]
    stands = "cancelling" if job.target == "cancelled" else stand_of(job)
    parts.append(Part(text=stands if job.started is None else f"{stands} {span(now - job.started)}"))
    if job.spec.is_array:
        parts += _progress(job.counts, now, pace if job.target == "done" else None)
        if job.slowest and now - job.slowest.since >= _SLOW:
            parts.append(Part(text=f"slowest: {slowest_text(job.slowest, now)}", rank=6))
    if job.state is State.RUNNING and not job.is_paused:
        parts += because  # it runs, and yet none of its tasks does
    return [*parts, Part(text=resources_text(job.spec.resources), rank=7)]


def who(job: JobView) -> list[Part]:
    """Which job a line is about."""
    return [Part(text=job.id), Part(text=job.spec.name, rank=2, least=_NAME, gap=" ")]


def _progress(counts: Counts, now: float, pace: Pace | None) -> Iterator[Part]:
    done = counts.succeeded + counts.failed
    yield Part(text=f"{done:,} of {number_of(counts.total, 'task')} done")
    if counts.failed:
        yield Part(text=f"{counts.failed:,} failed", rank=1, gap=", ")
    if counts.cancelled:
        yield Part(text=f"{counts.cancelled:,} cancelled", rank=3, gap=", ")
    yield Part(text=f"{counts.running:,} running", rank=4, gap=", ")
    if pace is not None:
        pace.see(done, now)
        if said := pace.words(counts.pending + counts.running):
            yield Part(text=", ".join(said), rank=5, shorter=Part(text=said[1], rank=3))
