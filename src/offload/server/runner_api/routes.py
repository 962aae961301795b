"""Hello, leases and logs; the messages are :mod:`offload.wire.runner_protocol`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Request, Response

from offload.errors import UnauthorizedError
from offload.model.ids import job_of_pool
from offload.server.access import Caller, Here, check_runner, router_for_runners
from offload.store import checkpoints, tasks
from offload.wire.codec import T, decode, encode
from offload.wire.runner_protocol import LEASE_HEADER, Hello, LeaseRequest, Saved

router = router_for_runners()
Lease = Annotated[str, Header(alias=LEASE_HEADER, max_length=200, pattern=r"^[^\x00]*$")]


@router.post("/hello")
async def hello(request: Request, launcher: Here, pool: Caller) -> Response:
    """Say who dials, and learn what to do."""
    message = await _read(request, Hello)
    check_runner(pool, message.runner)
    return _json(await launcher.desk.hello(message))


@router.post("/lease")
async def lease(request: Request, launcher: Here, pool: Caller) -> Response:
    """Long poll: completions up, attempts and orders down."""
    message = await _read(request, LeaseRequest)
    check_runner(pool, message.runner)
    return _json(await launcher.desk.lease(message))


@router.post("/logs")
async def logs(request: Request, launcher: Here, pool: Caller, token: Lease) -> Response:
    """Frames of one attempt, as they come."""
    job, task, attempt = await launcher.store.run(tasks.attempt_held, token)
    if job != job_of_pool(pool):
        raise UnauthorizedError("This lease belongs to another pool.")
    return _json(await launcher.logs.append(job, task, attempt, request.stream()))


@router.post("/checkpoint")
async def checkpoint(request: Request, launcher: Here, pool: Caller, token: Lease) -> Response:
    """What one attempt saved for the next; its manifest is there already."""
    message = await _read(request, Saved)
    job, _, _ = await launcher.store.run(tasks.attempt_held, token)
    if job != job_of_pool(pool):
        raise UnauthorizedError("This lease belongs to another pool.")
    await launcher.store.run(checkpoints.keep, token, message.digest)
    return Response(status_code=204)


async def _read(request: Request, kind: type[T]) -> T:
    return decode(await request.body(), kind)


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
