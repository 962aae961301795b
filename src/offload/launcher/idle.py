"""Lets the launcher end when nobody needs it: nothing asked, nothing streamed, no job unfinished for a
while. A paused job of which nothing runs waits for a person, who starts a launcher by asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from offload.launcher.clock import Clock
from offload.store import jobs
from offload.store.engine import Store


class Idle:
    """Knows how long nobody has asked for anything; ``limit`` in seconds, None is for ever.

    Attributes:
        asking: requests and streams that are being served.
    """

    def __init__(self, store: Store, clock: Clock, limit: float | None) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self.asking = 0
        self._since = clock.monotonic()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Somebody is being served."""
        self.asking += 1
        try:
            yield
        finally:
            self.asking -= 1
            self._since = self._clock.monotonic()

    async def run(self, end: Callable[[], None]) -> None:
        """Call ``end`` once the launcher has been idle for the limit."""
        if self._limit is None:
            return
        while (rest := await self.rest(self._limit)) > 0:  # noqa: ASYNC110  waits for time itself
            await asyncio.sleep(rest)
        end()

    async def rest(self, limit: float) -> float:
        """Seconds until the launcher will have been idle for the limit, as far as that can be told now."""
        if self.asking or await self._store.run(jobs.count_active):
            return limit
        return self._since + limit - self._clock.monotonic()
