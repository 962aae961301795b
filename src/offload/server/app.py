"""The composition root: the launcher's HTTP face."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from offload.launcher.launcher import Launcher
from offload.server.access import router_for_people, router_for_runners
from offload.server.api import clusters, jobs, launcher, streams
from offload.server.content import with_content
from offload.server.problems import Guard, handle_problems, problems
from offload.server.runner_api.routes import routes

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
        routes=[*_of_runners(), *_of_people()],
    )
    app.state.launcher = launcher_
    handle_problems(app)
    return app


def create_runner_app(launcher_: Launcher) -> ASGIApp:
    """The ASGI application for runners alone, which nobody reaches without a pool's token."""
    app = FastAPI(title="Offload", openapi_url=None, docs_url=None, redoc_url=None, routes=_of_runners())
    app.state.launcher = launcher_
    handle_problems(app)
    return Guard(app, launcher_)


# Both take routes as they are: those of a router that it includes FastAPI makes a second time, which would be
# a tenth of a launcher's start.
def _of_runners() -> list[BaseRoute]:
    return [*routes(), *with_content(router_for_runners()).routes]


def _of_people() -> list[BaseRoute]:
    content = with_content(router_for_people("content"))
    routers = (_health(), jobs.router, streams.router, content, clusters.router, launcher.router)
    return [route for router in routers for route in router.routes]


def _health() -> APIRouter:
    router = APIRouter(tags=["launcher"])

    @router.get("/v1/healthz", responses=problems(), summary="Ask whether the launcher answers")
    async def healthz() -> dict[str, str]:
        """Asks for no token, and looks at nothing."""
        return {"status": "ok"}

    return router
