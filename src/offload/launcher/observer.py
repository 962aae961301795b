"""Watches one cluster: what its backend sees becomes what the store knows.

``watch()`` tells everything that is, then ``Synced``, then every change. So a runner that the store knew
when the watch began, and that nobody named until ``Synced``, does not exist any more, whenever and however
it went. When the watch breaks it is started anew after a pause; meanwhile the cluster says what is wrong
with it, and nobody is judged by a picture that may be old.
"""

from __future__ import annotations

import asyncio
import logging

from offload.errors import OffloadError
from offload.launcher.clock import Clock, pauses
from offload.launcher.clusters import Cluster
from offload.launcher.hub import Hub
from offload.model.ids import PoolId, RunnerId, job_of_pool
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import Reason, ReasonCode
from offload.store import pools
from offload.store.engine import Store

_log = logging.getLogger(__name__)
_OVER = (Phase.ENDED, Phase.GONE)


class Observer:
    """The picture of one cluster."""

    def __init__(self, cluster: Cluster, store: Store, hub: Hub, clock: Clock) -> None:
        self._cluster = cluster
        self._store = store
        self._hub = hub
        self._clock = clock
        self._known: set[RunnerId] = set()
        self._picture: dict[PoolId, dict[RunnerId | None, Observation]] = {}
        self._synced = False

    async def run(self) -> None:
        """Watch for ever."""
        waits = pauses()
        while True:
            try:
                await self.begin()
                async for seen in self._cluster.backend.watch():
                    await self.take(seen)
                    if isinstance(seen, Synced):
                        waits = pauses()
                self._complain("Its watch ended by itself.")
            except Exception as error:  # noqa: BLE001  whatever a backend raises is the cluster's problem
                self._complain(error.sentence if isinstance(error, OffloadError) else repr(error))
            self._synced = False
            await asyncio.sleep(next(waits))

    async def begin(self) -> None:
        """Start a new picture: from now on the backend names all that exist."""
        self._known = await self._store.run(pools.live_runners, self._cluster.name)
        self._picture = {}
        self._synced = False

    async def take(self, seen: Observation | Synced) -> None:
        """Take in one thing that the backend sees."""
        if isinstance(seen, Synced):
            await self._sync()
        else:
            await self._note(seen)

    def vouches(self, runner: RunnerId, pool: PoolId) -> bool | None:
        """Whether the backend sees the runner running; None while the picture isn't complete."""
        if not self._synced:
            return None
        seen = self._picture.get(pool, {}).get(runner)
        return seen is not None and seen.phase is Phase.RUNNING

    def _complain(self, words: str) -> None:
        self._cluster.problem = f"The cluster can't be watched: {words}"
        _log.warning("Cluster %s: %s", self._cluster.name, self._cluster.problem, extra={"action": "watch"})

    async def _sync(self) -> None:
        named = {runner for seen in self._picture.values() for runner in seen}
        for runner in sorted(self._known - named):
            await self.over(runner, _unknown_to(self._cluster.name))
        self._known = set()
        self._picture = {pool: kept for pool, seen in self._picture.items() if (kept := _alive(seen))}
        self._cluster.problem = ""
        self._synced = True

    async def _note(self, seen: Observation) -> None:
        picture = self._picture.setdefault(seen.pool, {})
        picture[seen.runner] = seen
        if seen.reason is not None and seen.reason.code is ReasonCode.REFUSED:
            await self._store.run(pools.refuse, seen.pool, seen.reason)
            self._hub.job_changed(job_of_pool(seen.pool))
        if seen.phase in _OVER:
            if seen.runner is not None:
                await self.over(seen.runner, seen.reason or _ended(seen.runner))
            if self._synced:
                self._forget(seen)
        await self._say_why_it_waits(seen.pool)

    def _forget(self, seen: Observation) -> None:
        self._picture[seen.pool].pop(seen.runner, None)
        if not self._picture[seen.pool]:
            del self._picture[seen.pool]

    async def _say_why_it_waits(self, pool: PoolId) -> None:
        waiting = [
            seen.reason
            for seen in self._picture.get(pool, {}).values()
            if seen.phase in (Phase.WAITING, Phase.UNKNOWN) and seen.reason is not None
        ]
        reason = waiting[0] if waiting else None
        if await self._store.run(pools.waits, pool, reason, self._clock.now()):
            job = job_of_pool(pool)
            self._hub.ring(f"job:{job}")
            self._hub.ring("events")

    async def over(self, runner: RunnerId, reason: Reason) -> None:
        """The runner is no more: its leases are lost."""
        if await self._store.run(pools.ended, runner, reason, self._clock.now()):
            pool = runner.rpartition("-")[0]
            self._hub.job_changed(job_of_pool(PoolId(pool)), desk=True)


def _alive(seen: dict[RunnerId | None, Observation]) -> dict[RunnerId | None, Observation]:
    return {runner: one for runner, one in seen.items() if one.phase not in _OVER}


def _unknown_to(cluster: str) -> Reason:
    return Reason(
        code=ReasonCode.RUNNER_LOST, sentence=f"The cluster {cluster} doesn't know the runner any more."
    )


def _ended(runner: RunnerId) -> Reason:
    return Reason(code=ReasonCode.RUNNER_LOST, sentence=f"The runner {runner} ended.")
