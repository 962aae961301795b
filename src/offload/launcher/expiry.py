"""Finds leases whose runner fell silent.

A lease is lost when its runner has been silent past its expiry *and* its backend doesn't see it running.
Silence counts only while the launcher was there to hear: after a start, and whenever more time seems to
have passed since the last look than really did (the clock was set, the laptop slept, the process was
stopped), every lease is renewed once instead of being judged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from offload.launcher.clock import Clock
from offload.launcher.hub import EVENTS, Hub
from offload.launcher.observer import Observer
from offload.model.ids import RunnerId, job_of_pool, pool_of_runner
from offload.model.reasons import Reason, ReasonCode
from offload.store import jobs, pools, tasks
from offload.store.engine import Store

_log = logging.getLogger(__name__)


class Expiry:
    """Looks every quarter of ``ttl`` seconds while any lease is held."""

    def __init__(
        self, store: Store, hub: Hub, observers: Mapping[str, Observer], clock: Clock, *, ttl: float
    ) -> None:
        self._store = store
        self._hub = hub
        self._observers = observers
        self._clock = clock
        self._ttl = ttl
        self._last: tuple[float, float] | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.check()
            with self._hub.listen(EVENTS) as bell:
                if not await self._store.run(tasks.any_held):
                    await bell.wait()
            await asyncio.sleep(self._ttl / 4)

    async def check(self) -> list[RunnerId]:
        """Look once; the runners whose leases were lost by it."""
        now = self._clock.now()
        if not self._paid_attention(now):
            held = await self._store.run(tasks.renew_all, now + self._ttl)
            _log.info("%d leases are renewed.", held, extra={"action": "renew_all"})
            return []
        silent = await self._store.run(tasks.expired, now)
        return [runner for runner, since in silent.items() if await self._judge(runner, since, now)]

    def _paid_attention(self, now: float) -> bool:
        monotonic = self._clock.monotonic()
        last, self._last = self._last, (now, monotonic)
        if last is None:
            return False
        by_wall, by_monotonic = now - last[0], monotonic - last[1]
        slack = self._ttl / 2
        return abs(by_wall - by_monotonic) <= slack and by_monotonic <= self._ttl / 4 + slack

    async def _judge(self, runner: RunnerId, since: float, now: float) -> bool:
        pool = pool_of_runner(runner)
        job = job_of_pool(pool)
        view = await self._store.run(jobs.get, job)
        observer = self._observers.get(view.spec.cluster)
        if observer is not None and observer.vouches(runner, pool) is not False:
            return False
        reason = Reason(
            code=ReasonCode.RUNNER_LOST,
            sentence=f"The runner fell silent {now - since + self._ttl:.0f} s ago, and isn't seen running.",
        )
        lost = await self._store.run(pools.ended, runner, reason, now)
        self._hub.job_changed(job, idle=True)
        self._hub.ring(f"runner:{runner}")
        return lost
