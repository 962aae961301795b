"""Who may call what, and the launcher behind a request.

Over the Unix socket the file's mode is the authentication. Over TCP the public API asks for the launcher's
token. Runners show their pool's token wherever they call from.

Everything that a request depends on is a coroutine: FastAPI takes plain functions into a thread each, which
costs more than most answers.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from offload.errors import UnauthorizedError
from offload.launcher.launcher import Launcher
from offload.model.ids import PoolId, RunnerId, pool_of_runner
from offload.server.problems import problems

PATH_OF_RUNNERS: Final = "/runner/v1"


async def launcher_of(request: Request) -> Launcher:
    """The launcher that serves this request."""
    found: Launcher = request.app.state.launcher
    return found


Here = Annotated[Launcher, Depends(launcher_of)]


async def person(request: Request, launcher: Here) -> str:
    """The user on whose behalf the public API is called.

    Raises:
        UnauthorizedError: over TCP, without the launcher's token.
    """
    if _is_tcp(request) and not launcher.tokens.is_api(bearer(request)):
        raise UnauthorizedError(
            "The launcher's token is missing or wrong.",
            next_step="Set OFFLOAD_TOKEN to what the file `token` in the launcher's data directory says.",
        )
    return launcher.user


Person = Annotated[str, Depends(person)]


def _is_tcp(request: Request) -> bool:
    server = request.scope.get("server")
    return server is not None and server[1] is not None


def bearer(request: Request) -> str:
    """The bearer token that a request shows; empty without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def pool(request: Request, launcher: Here) -> PoolId:
    """The pool whose runner calls.

    Raises:
        UnauthorizedError: the request shows no pool's token.
    """
    found = launcher.tokens.pool_of(bearer(request))
    if found is None:
        raise UnauthorizedError("This isn't the token of a pool.")
    return found


def router_for_people(tag: str, prefix: str = "") -> APIRouter:
    """Where routes of the public API are added, below ``/v1``."""
    return APIRouter(
        prefix=f"/v1{prefix}", tags=[tag], dependencies=[Depends(person)], responses=problems(401)
    )


def router_for_runners() -> APIRouter:
    """Where routes of the runner protocol are added that the public API has, too."""
    return APIRouter(prefix=PATH_OF_RUNNERS, dependencies=[Depends(pool)], include_in_schema=False)


def check_runner(caller: PoolId, runner: str) -> None:
    """Raise ``UnauthorizedError`` unless the runner belongs to the pool that calls."""
    if pool_of_runner(RunnerId(runner)) != caller:
        raise UnauthorizedError(f"The runner {runner[:100]} doesn't belong to the pool of this token.")
