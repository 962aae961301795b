"""The composition root: the launcher's HTTP face."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from offload.launcher.launcher import Launcher
from offload.server import access
from offload.server.api import clusters, jobs, launcher, streams
from offload.server.content import content_router
from offload.server.problems import Guard, handle_problems, problems
from offload.server.runner_api import routes

_DESCRIPTION: Final = """\
Everything that Offload's command line and SDKs do, they do through this API.

Locally it listens on a Unix socket that only its owner can open; over TCP it asks for a bearer token. Times
are seconds since the epoch (UTC), sizes are bytes, durations are seconds. Whatever goes wrong is answered
with a `Problem`: a stable code, a sentence, and the next step. Every call may be repeated.
"""


def create_app(launcher_: Launcher) -> ASGIApp:
    """The ASGI application of a launcher."""
    return Guard(api_of(launcher_), launcher_)


def api_of(launcher_: Launcher | None) -> FastAPI:
    """The FastAPI application; without a launcher it can only describe itself (``openapi()``)."""
    app = FastAPI(
        title="Offload",
        version=version("offload"),
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.launcher = launcher_
    handle_problems(app)
    app.include_router(_health())
    for router in (jobs.router, streams.router, content_router(), clusters.router, launcher.router):
        app.include_router(
            router, prefix="/v1", dependencies=[Depends(access.person)], responses=problems(401)
        )
    _add_runner_api(app)
    return app


def create_runner_app(launcher_: Launcher) -> ASGIApp:
    """The ASGI application for runners alone, which nobody reaches without a pool's token."""
    app = FastAPI(title="Offload", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.launcher = launcher_
    handle_problems(app)
    _add_runner_api(app)
    return Guard(app, launcher_)


def _add_runner_api(app: FastAPI) -> None:
    for router in (routes.router, content_router()):
        app.include_router(
            router, prefix="/runner/v1", dependencies=[Depends(access.pool)], include_in_schema=False
        )


def _health() -> APIRouter:
    router = APIRouter(tags=["launcher"])

    @router.get("/v1/healthz", responses=problems(), summary="Ask whether the launcher answers")
    async def healthz() -> dict[str, str]:
        """Asks for no token, and looks at nothing."""
        return {"status": "ok"}

    return router
