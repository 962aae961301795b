"""Removes what nobody needs: results, logs and events past their retention, and content without references.

The job itself stays listed, with its tasks and attempts; of its events only the word stays that its results
are removed.

Nothing is counted. What a job or a manifest needs is a row, so garbage is what no row names and nobody
asked for during the grace period; a client that is about to submit is always inside it. A launcher that
finds unfinished jobs when it starts removes nothing before that period is over: a runner that was sending its
results when the launcher went away gets to finish. Without such jobs it soon begins, since a launcher that
serves short commands doesn't live for long.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Final

from offload.launcher.clock import Clock
from offload.launcher.content import Content
from offload.launcher.hub import Hub
from offload.launcher.log_keeper import LogKeeper
from offload.store import events, jobs, manifests
from offload.store.blobs import StoredBlob
from offload.store.engine import Store

_log = logging.getLogger(__name__)
EVERY: Final = 600.0
"""Seconds between two rounds."""
SETTLE: Final = 60.0
"""Seconds after the start of an idle launcher until its first round; its first command goes first."""
GRACE: Final = 3600.0
"""Seconds for which something that nobody refers to is kept after it was last wanted."""
BATCH: Final = 500
"""How many blobs or events are removed at once, so that nobody waits long for the store."""


class Janitor:
    """Cleans up; ``retention`` and ``grace`` in seconds, a retention of None keeps results for ever."""

    def __init__(
        self,
        store: Store,
        content: Content,
        logs: LogKeeper,
        hub: Hub,
        clock: Clock,
        *,
        retention: float | None,
        grace: float = GRACE,
    ) -> None:
        self._store = store
        self._content = content
        self._logs = logs
        self._hub = hub
        self._clock = clock
        self._retention = retention
        self._grace = grace

    async def run(self) -> None:
        """Clean up every ten minutes."""
        await asyncio.sleep(await self.first_round_after())
        while True:
            await self.clean()
            await asyncio.sleep(EVERY)

    async def first_round_after(self) -> float:
        """Seconds to wait at the start: a grace period when runners may be at work, else a moment."""
        return self._grace if await self._store.run(jobs.count_active) else SETTLE

    async def clean(self) -> None:
        """One round."""
        now = self._clock.now()
        expired = await self._expire(now)
        dropped = await self._store.run(manifests.drop_unreferenced, now - self._grace)
        deleted = await self._collect(now - self._grace)
        _log.info(
            "Removed the results of %d jobs, %d manifests and %d blobs.",
            expired,
            dropped,
            deleted,
            extra={"action": "clean"},
        )

    async def _expire(self, now: float) -> int:
        if self._retention is None:
            return 0
        expired = await self._store.run(jobs.expired, now - self._retention)
        for job in expired:
            # All before the mark that this job is done: whoever is killed in between begins with it again.
            for forget in (events.forget, manifests.forget_results):
                while await self._store.run(forget, job, limit=BATCH) == BATCH:
                    pass
            # The store says so first: a log that is gone without a word would look like one that never was.
            await self._store.run(jobs.remove_results, job, now)
            await self._logs.remove(job)
            self._hub.job_changed(job)
        return len(expired)

    async def _collect(self, before: float) -> int:
        stored = await asyncio.to_thread(
            lambda: [blob for blob in self._content.files if blob.wanted < before]
        )
        deleted = 0
        for batch in _batches(stored):
            async with self._content.lock:
                needed = await self._store.run(manifests.needed_blobs, batch)
                garbage = [digest for digest in batch if digest not in needed]
                deleted += await asyncio.to_thread(self._delete, garbage, before)
        await asyncio.to_thread(self._content.files.tidy)
        return deleted

    def _delete(self, digests: list[str], before: float) -> int:
        return sum(self._content.files.delete(digest, unwanted_since=before) for digest in digests)


def _batches(stored: list[StoredBlob]) -> list[list[str]]:
    digests = (blob.digest for blob in stored)
    return list(iter(lambda: list(itertools.islice(digests, BATCH)), []))
