"""What happens and what is printed, as it comes.

Both streams are read from what is kept, so a reader that comes back with the last event's id, or the last
byte's position, misses nothing. They end by themselves once the job has, and when the launcher ends; if that
is asked for, also while the job is paused and nothing of it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from fastapi.responses import StreamingResponse

from offload.errors import ResultsGoneError
from offload.launcher.hub import EVENTS
from offload.launcher.launcher import Launcher
from offload.server.access import Here, router_for_people
from offload.server.api.parameters import (
    Follow,
    JobId,
    Kinds,
    LastEvent,
    OfTask,
    Position,
    Tail,
    ToRest,
)
from offload.server.problems import problems
from offload.store import events, jobs, tasks
from offload.wire.api import EventView
from offload.wire.codec import encode
from offload.wire.frames import FRAMES_TYPE

router = router_for_people("streams")
PING: Final = 15.0
"""Seconds of silence after which a reader gets a comment, so that the connection doesn't look dead."""
_BATCH: Final = 500
_END: Final = "job_ended"
_SSE: Final = "text/event-stream"
_EVENT: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events; `data` is an `EventView`.",
        "content": {_SSE: {"schema": _EVENT}},
    }
}
_FRAMES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Log frames: a 28-byte head and the bytes that were printed, again and again.",
        "content": {FRAMES_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "/jobs/{job}/events",
    responses=_EVENTS | problems(404),
    response_class=StreamingResponse,
    summary="Follow what happens to a job",
)
async def job_events(
    job: JobId,
    launcher: Here,
    *,
    follow: Follow = True,
    rest: ToRest = False,
    kinds: Kinds = (),
    last: LastEvent = 0,
) -> StreamingResponse:
    """Every event after `Last-Event-ID`, or those of some kinds. Ends after `job_ended`."""
    view = await launcher.store.run(jobs.get, job)
    follow = follow and not view.state.is_terminal
    told = _tell(launcher, job, last, follow=follow, rest=rest, kinds=kinds)
    return StreamingResponse(told, media_type=_SSE)


@router.get(
    "/events",
    responses=_EVENTS | problems(),
    response_class=StreamingResponse,
    summary="Follow what happens to every job",
)
async def all_events(launcher: Here, *, follow: Follow = True, last: LastEvent = 0) -> StreamingResponse:
    """Every event after `Last-Event-ID`."""
    return StreamingResponse(_tell(launcher, None, last, follow=follow), media_type=_SSE)


async def _tell(
    launcher: Launcher,
    job: str | None,
    after: int,
    *,
    follow: bool,
    rest: bool = False,
    kinds: Sequence[str] = (),
) -> AsyncIterator[bytes]:
    wanted = {*kinds, _END} if kinds else set()
    with launcher.hub.listen(EVENTS if job is None else f"job:{job}") as bell:
        while True:
            batch, after = await launcher.store.run(
                events.read_on, after=after, job=job, kinds=wanted, limit=_BATCH
            )
            for event in batch:
                if kinds and event.kind not in kinds:
                    continue
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.kind.encode(), encode(event))
            follow = follow and not (job and any(map(_is_end, batch)))
            if len(batch) == _BATCH:
                continue
            if not follow or launcher.hub.stopping:
                return
            if rest and job and (await launcher.store.run(jobs.get, job)).is_at_rest:
                follow = False  # what happened between reading and looking is told, too
                continue
            if not await bell.wait(PING):
                yield b": still here\n\n"


def _is_end(event: EventView) -> bool:
    return event.kind == _END


@router.get(
    "/jobs/{job}/logs",
    responses=_FRAMES | problems(400, 404, 410),
    response_class=StreamingResponse,
    summary="Read what a job printed",
)
async def logs(
    job: JobId,
    launcher: Here,
    *,
    task: OfTask = None,
    after: Position = 0,
    tail: Tail = None,
    follow: Follow = False,
    rest: ToRest = False,
) -> StreamingResponse:
    """Frames from a byte position on, of all tasks or of one; with `follow` until the job has ended."""
    view = await launcher.store.run(jobs.get, job)
    if view.results_removed:
        raise ResultsGoneError(f"The logs of job {job} were past their retention and are removed.")
    if task is not None:
        await launcher.store.run(tasks.get, job, task)
    await launcher.logs.check(job, after)
    frames = launcher.logs.read(job, after=after, task=task, tail=tail, follow=follow, rest=rest)
    return StreamingResponse(frames, media_type=FRAMES_TYPE)
