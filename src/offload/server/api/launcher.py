"""The launcher itself."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query

from offload.errors import LauncherBusyError
from offload.server.access import Here, router_for_people
from offload.server.api.parameters import Choice
from offload.server.problems import problems
from offload.store import jobs
from offload.wire.api import LauncherView

router = router_for_people("launcher")
Force = Annotated[Choice, Query(description="Even while jobs are unfinished.")]


@router.get("/launcher", responses=problems(), summary="Look at the launcher")
async def get_launcher(launcher: Here) -> LauncherView:
    """Version, process, store and how much it keeps."""
    return await launcher.view()


@router.post("/launcher/stop", status_code=202, responses=problems(409), summary="End the launcher")
async def stop(launcher: Here, *, force: Force = False) -> None:
    """Runners go on either way, and the next launcher takes up where this one stopped."""
    unfinished = await launcher.store.run(jobs.count_active)
    if unfinished and not force:
        raise LauncherBusyError(
            f"{unfinished} {'job is' if unfinished == 1 else 'jobs are'} unfinished.",
            next_step="Wait for them, cancel them, or stop it anyway (--force); they go on without it.",
            details={"unfinished_jobs": unfinished},
        )
    asyncio.get_running_loop().call_soon(launcher.end)
