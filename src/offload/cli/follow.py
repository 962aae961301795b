"""Showing a job's output as it appears, and how the job stands beside it.

The main thread writes what the script printed. A second thread asks now and then how the job stands and
draws the status line, or says what is new where none can be drawn. Where a task can run out of memory and
begin anew, a third one tells so, because its output begins anew as well. All go through one
:class:`~offload.cli.terminal.Terminal`, which keeps them apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from offload.cli.lines import WholeLines
from offload.cli.news import News
from offload.cli.pace import Pace
from offload.cli.terminal import STDERR, STDOUT, Terminal
from offload.cli.text import number_of, resources_text, slowest_text, span, stand_of
from offload.client.api import Api
from offload.client.streams import GoesOn, follow_events, follow_logs
from offload.errors import OffloadError
from offload.model.counts import Counts
from offload.model.growth import can_grow
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import format_size
from offload.model.states import State
from offload.snapshot.sending import Progress
from offload.wire.api import JobView
from offload.wire.codec import convert
from offload.wire.frames import Frame, Stream

_TICK: Final = 0.5
"""Seconds between two drawings of the status line."""
_SLOW: Final = 10.0
"""Seconds for which a task runs before it is told as the slowest."""
_CALM_TICK: Final = 10.0
"""Seconds between two looks where there is none; a job that is done before the first adds no word."""
_DESCRIPTORS: Final = {Stream.STDOUT: STDOUT, Stream.STDERR: STDERR}


def show_output(
    api: Api,
    job: JobView,
    terminal: Terminal,
    *,
    task: int | None = None,
    attempt: int | None = None,
    follow: bool = True,
    at_rest: GoesOn | None = None,
) -> bool:
    """Write what the job printed to this process's stdout and stderr; with ``follow`` until it has ended.

    Returns whether there was anything.

    Args:
        api: the launcher.
        job: whose output.
        terminal: where to.
        task: only this task's, as its raw bytes.
        attempt: only this attempt's.
        follow: whether to wait for what is still to come.
        at_rest: decides whether to wait on while it is paused and nothing of it runs.
    """
    lines = WholeLines(prefix=terminal.out_is_terminal) if job.spec.is_array and task is None else None
    shown = False
    for frame in follow_logs(api, job.id, task=task, follow=follow, at_rest=at_rest):
        if attempt in (None, frame.attempt):
            _show(frame, terminal, lines)
            shown = True
    for stream, data in lines.rest() if lines else ():
        terminal.write(_DESCRIPTORS[stream], data)
    return shown


def _show(frame: Frame, terminal: Terminal, lines: WholeLines | None) -> None:
    if frame.stream is Stream.NOTICE:
        terminal.say(f"offload: {frame.data.decode('utf-8', 'replace').strip()}", style="dim")
    elif data := lines.feed(frame) if lines else frame.data:
        terminal.write(_DESCRIPTORS[frame.stream], data)


@contextmanager
def status_line(api: Api, job: JobView, terminal: Terminal) -> Iterator[None]:
    """Keep a status line up to date while the body runs; where none can be drawn, say what is new."""
    if terminal.quiet:
        yield
        return
    stop = threading.Event()
    keep = _keep_drawing if terminal.can_draw else _keep_telling
    thread = threading.Thread(target=keep, args=(_beside(api), job, terminal, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=2)
        terminal.erase()


def _beside(api: Api) -> Api:
    """For a thread of its own; it never starts a launcher: that is for whoever waits for an answer."""
    return Api(replace(api.endpoint, places=None))


def _keep_drawing(api: Api, job: JobView, terminal: Terminal, stop: threading.Event) -> None:
    for _, text in _looks(api, job, stop, _TICK):
        terminal.draw(text)


def _keep_telling(api: Api, job: JobView, terminal: Terminal, stop: threading.Event) -> None:
    news = News(time.time())
    with suppress(BrokenPipeError):  # nobody reads it any more
        for seen, text in _looks(api, job, stop, _CALM_TICK):
            if news.due(seen, time.time()):
                terminal.say(f"offload: {text}")


def _looks(
    api: Api, job: JobView, stop: threading.Event, tick: float
) -> Iterator[tuple[JobView | None, str]]:
    """How the job stands, in a short line, each ``tick`` seconds; None when nobody answers."""
    pace: Pace | None = None
    with api:
        while not stop.wait(tick):
            try:
                job, now = api.job(job.id), time.time()
                if pace is None and job.started is not None:
                    pace = Pace(job.started)
                seen: tuple[JobView | None, str] = job, status_text(job, now, pace)
            except OffloadError:
                seen = None, f"{job.id} {job.spec.name}  the launcher doesn't answer; the job goes on"
            if not stop.is_set():
                yield seen


@contextmanager
def growth_told(api: Api, job: JobView, terminal: Terminal) -> Iterator[None]:
    """Tell while the body runs that a task ran out of memory and is run again with more."""
    if not can_grow(job.spec):
        yield
        return
    thread = threading.Thread(target=_tell_growth, args=(_beside(api), job, terminal), daemon=True)
    thread.start()
    yield
    if api.job(job.id).state.is_terminal:  # it may have been left paused
        thread.join(timeout=2)


def _tell_growth(api: Api, job: JobView, terminal: Terminal) -> None:
    told: set[str] = set()
    with api, suppress(OffloadError):
        for event in follow_events(api, job.id, kinds=("attempt_failed",)):
            found = event.data.get("reason")
            reason = convert(found, Reason) if found else None
            if reason is None or reason.code is not ReasonCode.OUT_OF_MEMORY or reason.sentence in told:
                continue
            told.add(reason.sentence)  # the hundredth task of an array is no news
            who = f"task {event.task} of {job.id}" if job.spec.is_array else job.id
            terminal.say(f"offload: {who}: {reason.sentence}", style="yellow")


def status_text(job: JobView, now: float, pace: Pace | None = None) -> str:
    """One short line on how a job stands; ``pace`` is told, and says when an array may be done."""
    parts = [f"{job.id} {job.spec.name}"]
    if job.state is State.PENDING:
        parts.append("paused" if job.is_paused else f"waiting {span(now - job.created)}")
        if job.reason:
            parts.append(job.reason.sentence)
        return "  ".join(parts)
    parts.append("cancelling" if job.target == "cancelled" else stand_of(job))
    if job.started is not None:
        parts[-1] += f" {span(now - job.started)}"
    if job.spec.is_array:
        parts += _progress(job.counts, now, None if job.is_paused else pace)
        if job.slowest and now - job.slowest.since >= _SLOW:
            parts.append(f"slowest: {slowest_text(job.slowest, now)}")
    if job.reason and job.state is State.RUNNING and not job.is_paused:  # and yet none of its tasks does
        parts.append(job.reason.sentence)
    parts.append(resources_text(job.spec.resources))
    return "  ".join(parts)


def _progress(counts: Counts, now: float, pace: Pace | None) -> Iterator[str]:
    left = counts.pending + counts.running
    ended = counts.total - left
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    yield f"{ended:,} of {number_of(counts.total, 'task')} done{failed}, {counts.running:,} running"
    if pace is not None:
        pace.see(ended, now)
        if said := pace.text(left):
            yield said


@contextmanager
def progress(terminal: Terminal, text: str) -> Iterator[Progress]:
    """Show what is being done while the body runs, once that takes over a second.

    Yields a function that is told how many bytes of how many are done.
    """
    state = [text]
    stop = threading.Event()

    def told(done: int, whole: int) -> None:
        state[0] = f"{text} {format_size(done)} of {format_size(whole)}"

    def keep_drawing() -> None:
        begun = time.monotonic()
        while not stop.wait(_TICK):
            if (gone := time.monotonic() - begun) > 1:
                terminal.draw(f"{state[0]}  {span(gone)}")

    thread = threading.Thread(target=keep_drawing, daemon=True)
    if terminal.can_draw:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        if terminal.can_draw:
            thread.join()
            terminal.erase()
