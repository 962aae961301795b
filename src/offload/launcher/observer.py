"""Watches one cluster: what its backend sees becomes what the store knows.

``watch()`` tells everything that is, then ``Synced``, then every change. So a runner that the store knew
when the watch began, and that nobody named until ``Synced``, does not exist any more, whenever and however
it went. When the watch breaks it is started anew after a pause; meanwhile the cluster says what is wrong
with it, and nobody is judged by a picture that may be old.

Two things are seen only by comparing the picture with the store. A pool that the store doesn't know, or is
done with, is a leftover: it is released. A runner that runs and doesn't say hello can't reach the launcher:
its job says so instead of waiting without a word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from offload.errors import OffloadError
from offload.launcher.clock import Clock, pauses
from offload.launcher.clusters import Cluster
from offload.launcher.hub import Hub
from offload.model.ids import PoolId, RunnerId, job_of_pool, pool_of_runner
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import Reason, ReasonCode
from offload.store import pools
from offload.store.engine import Store

_log = logging.getLogger(__name__)
_OVER = (Phase.ENDED, Phase.GONE)
SILENCE: Final = 20.0
"""Seconds in which a runner that runs should have said hello; it takes about one."""


class Observer:
    """The picture of one cluster."""

    def __init__(
        self, cluster: Cluster, store: Store, hub: Hub, clock: Clock, *, silence: float = SILENCE
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._hub = hub
        self._clock = clock
        self._known: set[RunnerId] = set()
        self._picture: dict[PoolId, dict[RunnerId | None, Observation]] = {}
        self._fine: set[PoolId] = set()
        self._synced = False
        self._silence = silence
        self._listening: dict[RunnerId, asyncio.TimerHandle] = {}
        self._background: set[asyncio.Task[None]] = set()

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
        self._fine = set()
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
        await self._remove_leftovers(self._picture)

    async def _note(self, seen: Observation) -> None:
        if self._synced and seen.pool not in self._picture and seen.phase not in _OVER:
            await self._remove_leftovers([seen.pool])
        picture = self._picture.setdefault(seen.pool, {})
        picture[seen.runner] = seen
        self._listen(seen)
        if seen.final and seen.reason is not None:
            await self._store.run(pools.refuse, seen.pool, seen.reason)
            self._hub.job_changed(job_of_pool(seen.pool))
        if seen.phase in _OVER:
            if seen.runner is not None:
                await self.over(seen.runner, seen.reason or _ended(seen.runner))
            if self._synced:
                self._forget(seen)
        elif seen.runner is None and seen.phase is Phase.RUNNING:  # it only takes back what was said before
            self._forget(seen)
        await self._say_why_it_waits(seen.pool)

    def _forget(self, seen: Observation) -> None:
        self._picture[seen.pool].pop(seen.runner, None)
        if not self._picture[seen.pool]:
            del self._picture[seen.pool]
            self._fine.discard(seen.pool)

    async def _say_why_it_waits(self, pool: PoolId) -> None:
        waiting = [
            seen.reason
            for seen in self._picture.get(pool, {}).values()
            if seen.phase in (Phase.WAITING, Phase.UNKNOWN) and seen.reason is not None
        ]
        if waiting:
            self._fine.discard(pool)
            await self._say(pool, waiting[0])
        elif pool not in self._fine:  # the thousandth runner that runs is no news
            self._fine.add(pool)
            await self._say(pool, None)

    async def _say(self, pool: PoolId, reason: Reason | None) -> None:
        if await self._store.run(pools.waits, pool, reason, self._clock.now()):
            job = job_of_pool(pool)
            self._hub.ring(f"job:{job}")
            self._hub.ring("events")

    async def _remove_leftovers(self, pools_seen: Iterable[PoolId]) -> None:
        for pool in await self._store.run(pools.leftovers, list(pools_seen)):
            _log.info("Pool %s is a leftover.", pool, extra={"action": "leftover", "pool": pool})
            self._spawn(self._remove(pool))

    async def _remove(self, pool: PoolId) -> None:
        try:
            await self._cluster.backend.release(pool)
        except Exception as error:  # noqa: BLE001  found again when the watch begins anew
            _log.warning("Leftover %s: %r", pool, error, extra={"action": "leftover", "pool": pool})

    def _listen(self, seen: Observation) -> None:
        """From now on expect a hello of a runner that runs."""
        if seen.runner is None:
            return
        if seen.phase is Phase.RUNNING and seen.runner not in self._listening:
            loop = asyncio.get_running_loop()
            check = self._still_silent
            self._listening[seen.runner] = loop.call_later(
                self._silence, lambda runner, pool: self._spawn(check(runner, pool)), seen.runner, seen.pool
            )
        elif seen.phase in _OVER and (timer := self._listening.pop(seen.runner, None)):
            timer.cancel()

    async def _still_silent(self, runner: RunnerId, pool: PoolId) -> None:
        if self.vouches(runner, pool) and not await self._store.run(pools.has_greeted, runner):
            self._fine.discard(pool)
            await self._say(pool, _silent(runner, self._silence))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def over(self, runner: RunnerId, reason: Reason) -> None:
        """The runner is no more: its leases are lost."""
        if await self._store.run(pools.ended, runner, reason, self._clock.now()):
            self._hub.job_changed(job_of_pool(pool_of_runner(runner)), idle=True)
            self._hub.ring(f"runner:{runner}")


def _alive(seen: dict[RunnerId | None, Observation]) -> dict[RunnerId | None, Observation]:
    return {runner: one for runner, one in seen.items() if one.phase not in _OVER}


def _unknown_to(cluster: str) -> Reason:
    return Reason(
        code=ReasonCode.RUNNER_LOST, sentence=f"The cluster {cluster} doesn't know the runner any more."
    )


def _silent(runner: RunnerId, seconds: float) -> Reason:
    return Reason(
        code=ReasonCode.LAUNCHER_UNREACHABLE,
        sentence=f"The runner {runner} has been running for {seconds:.0f} s and hasn't reached the launcher.",
        words="`offload clusters check` tells where runners dial, and `offload launcher status` where the "
        "launcher listens.",
    )


def _ended(runner: RunnerId) -> Reason:
    return Reason(code=ReasonCode.RUNNER_LOST, sentence=f"The runner {runner} ended.")
