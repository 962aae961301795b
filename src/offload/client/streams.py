"""Following what happens and what is printed, across lost connections and launchers that come and go.

Both streams are only ever appended to, so after a break they are opened again where they broke off: events
after the last event's id, frames after the last frame's byte position. A stream that ends is believed only
if the job had ended before the stream was opened; a launcher that shuts down ends its streams as well.

A job that is paused and of which nothing runs may wait for a person for ever. Whoever follows one to its end
says what happens then: the follower is asked, and goes on or leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlencode

from offload.client.api import Api, job_path
from offload.errors import LauncherUnreachableError
from offload.wire.api import EventView, JobView
from offload.wire.codec import decode
from offload.wire.frames import Frame, Stream, decode_frames

_PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next try while the launcher is away; the last one goes on for ever."""
GoesOn = Callable[[JobView], bool]
"""Told that the job is paused and nothing of it runs; whether to follow it further."""
_SILENCE: Final = 60.0
"""Seconds without any byte after which a connection counts as lost; the launcher pings far more often."""


class _Pauses:
    """Waits longer from break to break, and starts over when something came through."""

    def __init__(self) -> None:
        self._at = 0

    def reset(self) -> None:
        self._at = 0

    def wait(self) -> None:
        time.sleep(_PAUSES[min(self._at, len(_PAUSES) - 1)])
        self._at += 1


def follow_logs(
    api: Api,
    job: str,
    *,
    task: int | None = None,
    after: int = 0,
    follow: bool = True,
    at_rest: GoesOn | None = None,
) -> Iterator[Frame]:
    """What the job printed, from the first frame; with ``follow`` until it has ended.

    Args:
        api: the launcher.
        job: whose output.
        task: only this task's.
        after: byte position to start from; positions count the frames of all tasks.
        follow: whether to wait for what is still to come.
        at_rest: asked while it is paused and nothing of it runs; None waits for whoever resumes it.

    Raises:
        JobNotFoundError: no such job.
        TaskNotFoundError: no such task.
        ResultsGoneError: the logs are past their retention.
        LauncherUnreachableError: another machine's launcher never answered at all.
    """
    cursor, pauses, known = _Cursor(task, after), _Pauses(), False
    while True:
        view, known = _look(api, job, pauses, known=known), True
        to_its_end = follow and not view.state.is_terminal
        try:
            query = cursor.open() | _choices(follow=to_its_end, rest=at_rest is not None)
            for frame in _frames(api, job, query):
                pauses.reset()
                if cursor.advance(frame):
                    yield frame
            if not to_its_end or _leaves(view, at_rest):
                return
        except LauncherUnreachableError:
            pauses.wait()


def end_of_logs(api: Api, job: str, *, task: int, size: int) -> list[Frame]:
    """The last frames of what a task has printed, ``size`` bytes at most, and one in any case.

    Raises:
        JobNotFoundError: no such job.
        TaskNotFoundError: no such task.
        ResultsGoneError: the logs are past their retention.
    """
    return api.patiently(lambda: [*_frames(api, job, {"task": task, "tail": size})])


def _look(api: Api, job: str, pauses: _Pauses, *, known: bool) -> JobView:
    """Ask until it is answered: a launcher elsewhere that answered before comes back, or so we hope."""
    while True:
        try:
            return api.job(job)
        except LauncherUnreachableError:
            if api.endpoint.places is not None or not known:
                raise
            pauses.wait()


def _leaves(job: JobView, at_rest: GoesOn | None) -> bool:
    return at_rest is not None and job.is_at_rest and not at_rest(job)


class _Cursor:
    """Where a log stream goes on. A filtered stream has no position of its own, so it is read again."""

    def __init__(self, task: int | None, after: int) -> None:
        self.task = task
        self.position = after
        self._seen = 0
        self._skip = 0

    def open(self) -> dict[str, object]:
        """The query that continues the stream."""
        self._skip = self._seen
        filtered = {"task": self.task} if self.task is not None else {}
        return {**filtered, "after": self.position}

    def advance(self, frame: Frame) -> bool:
        """Note a frame; whether it is new."""
        if self.task is None:
            self.position += frame.size
            return True
        if self._skip:
            self._skip -= 1
            return False
        self._seen += 1
        return True


def _frames(api: Api, job: str, query: dict[str, object]) -> Iterator[Frame]:
    with api.dial(_SILENCE) as connection:
        response = connection.request("GET", job_path(job, f"/logs?{urlencode(query)}"))
        for frame in decode_frames(response.chunks()):
            if frame.stream is not Stream.PING:
                yield frame


def wait_for_end(api: Api, job: str, *, at_rest: GoesOn | None = None) -> None:
    """Wait until the job has ended, or ``at_rest`` says to leave; raises ``JobNotFoundError``."""
    for _ in follow_events(api, job, kinds=("job_ended",), at_rest=at_rest):
        pass


def follow_events(
    api: Api, job: str, *, after: int = 0, kinds: Sequence[str] = (), at_rest: GoesOn | None = None
) -> Iterator[EventView]:
    """What happens to the job, from the event after ``after`` to its end; only some kinds, and the end.

    While it is paused and nothing of it runs, ``at_rest`` is asked; None waits for whoever resumes it.

    Raises:
        JobNotFoundError: no such job.
    """
    pauses, known = _Pauses(), False
    while True:
        view, known = _look(api, job, pauses, known=known), True
        try:
            for event in _events(api, job, after, _query(kinds, follow=True, rest=at_rest is not None)):
                pauses.reset()
                after = event.id
                yield event
            if view.state.is_terminal or _leaves(view, at_rest):
                return
        except LauncherUnreachableError:
            pauses.wait()


def past_events(api: Api, job: str, kinds: Sequence[str]) -> list[EventView]:
    """What has happened to the job until now, of these kinds, oldest first."""
    return api.patiently(lambda: [*_events(api, job, 0, _query(kinds, follow=False))])


def _query(kinds: Sequence[str], *, follow: bool, rest: bool = False) -> str:
    choices = _choices(follow=follow, rest=rest)
    return urlencode([*choices.items(), *(("kind", kind) for kind in kinds)])


def _choices(**choices: bool) -> dict[str, object]:
    """As the launcher reads them in an address."""
    return {name: str(choice).lower() for name, choice in choices.items()}


def _events(api: Api, job: str, after: int, query: str) -> Iterator[EventView]:
    with api.dial(_SILENCE) as connection:
        response = connection.request(
            "GET",
            job_path(job, f"/events?{query}"),
            headers={"Last-Event-ID": str(after), "Accept": "text/event-stream"},
        )
        for line in _lines(response.chunks()):
            if line.startswith(b"data:"):
                yield decode(line[5:].strip(), EventView)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
