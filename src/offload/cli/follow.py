"""Showing a job's output as it appears, and how the job stands beside it.

The main thread writes what the script printed. A second thread asks now and then how the job stands and
draws the status line, or says what is new where none can be drawn. Where a task can run out of memory and
begin anew, a third one tells so, because its output begins anew as well. All go through one
:class:`~offload.cli.terminal.Terminal`, which keeps them apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from offload.cli.again import Again
from offload.cli.fitting import Part, fitted
from offload.cli.lines import WholeLines
from offload.cli.news import News
from offload.cli.pace import Pace
from offload.cli.standing import status_parts, who
from offload.cli.terminal import STDERR, STDOUT, Terminal
from offload.cli.text import span, whose
from offload.client.api import Api
from offload.client.streams import GoesOn, follow_events, follow_logs
from offload.errors import OffloadError
from offload.model.growth import can_grow
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import format_size
from offload.snapshot.sending import Progress
from offload.wire.api import JobView
from offload.wire.codec import convert
from offload.wire.frames import Frame, Stream

_TICK: Final = 0.5
"""Seconds between two drawings of the status line."""
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
    again = Again(api, job, terminal) if follow and attempt is None else None
    shown = False
    for frame in follow_logs(api, job.id, task=task, follow=follow, at_rest=at_rest):
        if again:
            again.note(frame)
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
    for _, parts in _looks(api, job, stop, _TICK):
        terminal.draw(fitted(parts, terminal.room))


def _keep_telling(api: Api, job: JobView, terminal: Terminal, stop: threading.Event) -> None:
    news = News(time.time())
    with suppress(BrokenPipeError):  # nobody reads it any more
        for seen, parts in _looks(api, job, stop, _CALM_TICK):
            if news.due(seen, time.time()):
                terminal.say(f"offload: {fitted(parts)}")


def _looks(
    api: Api, job: JobView, stop: threading.Event, tick: float
) -> Iterator[tuple[JobView | None, Sequence[Part]]]:
    """How the job stands, in the parts of a line, each ``tick`` seconds; None when nobody answers."""
    pace: Pace | None = None
    with api:
        while not stop.wait(tick):
            try:
                job, now = api.job(job.id), time.time()
                if pace is None and job.started is not None:
                    pace = Pace(job.started)
                seen: tuple[JobView | None, Sequence[Part]] = job, status_parts(job, now, pace)
            except OffloadError:
                seen = None, [*who(job), Part(text="the launcher doesn't answer; the job goes on")]
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
            terminal.say(f"offload: {whose(job, event.task)}: {reason.sentence}", style="yellow")


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
