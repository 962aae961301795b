"""Hello, leases and logs; the messages are :mod:`offload.wire.runner_protocol`.

These are plain routes: what FastAPI does for a call that people may make by hand, and that is described for
them, takes longer than to note a batch of output.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from offload.errors import UnauthorizedError, UsageError
from offload.launcher.launcher import Launcher
from offload.model.ids import PoolId, job_of_pool
from offload.server.access import PATH_OF_RUNNERS, check_runner, launcher_of, pool
from offload.store import checkpoints, tasks
from offload.wire.codec import T, decode, encode
from offload.wire.runner_protocol import LEASE_HEADER, Hello, LeaseRequest, Saved

_Call = Callable[[Request, Launcher, PoolId], Awaitable[Response]]
_LONGEST: Final = 200


async def hello(request: Request, launcher: Launcher, caller: PoolId) -> Response:
    """Say who dials, and learn what to do."""
    message = await _read(request, Hello)
    check_runner(caller, message.runner)
    return _json(await launcher.desk.hello(message))


async def lease(request: Request, launcher: Launcher, caller: PoolId) -> Response:
    """Long poll: completions up, attempts and orders down."""
    message = await _read(request, LeaseRequest)
    check_runner(caller, message.runner)
    return _json(await launcher.desk.lease(message))


async def logs(request: Request, launcher: Launcher, caller: PoolId) -> Response:
    """Frames of one attempt, as they come."""
    job, task, attempt = await _attempt_of(_lease_of(request), launcher, caller)
    return _json(await launcher.logs.append(job, task, attempt, request.stream()))


async def checkpoint(request: Request, launcher: Launcher, caller: PoolId) -> Response:
    """What one attempt saved for the next; its manifest is there already."""
    message, token = await _read(request, Saved), _lease_of(request)
    await _attempt_of(token, launcher, caller)
    await launcher.store.run(checkpoints.keep, token, message.digest)
    return Response(status_code=204)


def routes() -> list[BaseRoute]:
    """What only runners call."""
    calls = (hello, lease, logs, checkpoint)
    return [
        Route(f"{PATH_OF_RUNNERS}/{call.__name__}", _for_runners(call), methods=["POST"]) for call in calls
    ]


def _for_runners(call: _Call) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        launcher = await launcher_of(request)
        return await call(request, launcher, await pool(request, launcher))

    return endpoint


def _lease_of(request: Request) -> str:
    token = request.headers.get(LEASE_HEADER, "")
    if not 0 < len(token) <= _LONGEST or "\0" in token:
        raise UsageError(f"The header {LEASE_HEADER} names no lease.")
    return token


async def _attempt_of(token: str, launcher: Launcher, caller: PoolId) -> tuple[str, int, int]:
    """Job, task and number of the attempt that a lease of the caller's pool is for."""
    job, task, attempt = await launcher.store.run(tasks.attempt_held, token)
    if job != job_of_pool(caller):
        raise UnauthorizedError("This lease belongs to another pool.")
    return job, task, attempt


async def _read(request: Request, kind: type[T]) -> T:
    return decode(await request.body(), kind)


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
