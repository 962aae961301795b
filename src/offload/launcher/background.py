"""Work that goes on as long as the launcher does. Whatever it raises is logged, and it is started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from offload.launcher.clock import pauses

_log = logging.getLogger(__name__)


class Background:
    """Tasks of the event loop that are never lost sight of."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run ``work`` until it returns, again and again as long as it raises; cancel it to end it."""
        task = asyncio.create_task(_insist(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """End all of it, and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _insist(name: str, work: Callable[[], Awaitable[None]]) -> None:
    for pause in pauses():
        try:
            await work()
        except Exception:  # noqa: BLE001  logged with all that is known of it
            _log.exception("%s failed and starts again in %.1f s.", name, pause, extra={"action": "restart"})
            await asyncio.sleep(pause)
        else:
            return
