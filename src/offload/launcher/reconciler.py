"""Brings what is nearer to what is wanted, one step at a time, for every job that isn't done.

For a job: read what is known, let :func:`~offload.lifecycle.job.plan` name the step that is due for each of
its pools, take those, and look again until none is. A step is idempotent, and what the store says changes
only after it was taken; so a launcher that dies anywhere in between takes the same step again. One worker per
job: steps of one pool never overlap, and a cluster that doesn't answer holds up only its own jobs.

A worker is started by whatever changes the job, for every unfinished job when the launcher starts, and
again every now and then. What a step raises is never the end: the pool says that it waits and why, and the
step is tried again after a pause. The other pools' steps were taken all the same.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final, assert_never
from urllib.parse import unquote, urlsplit

from offload.backends.contract import Pool
from offload.errors import OffloadError, RefusedError
from offload.launcher.clock import Clock, pauses
from offload.launcher.clusters import Clusters
from offload.launcher.hub import Hub
from offload.launcher.tokens import Tokens
from offload.lifecycle.job import (
    CancelPending,
    FailPending,
    GiveUp,
    Pause,
    Release,
    Scale,
    Step,
    plan_all,
)
from offload.lifecycle.task import CancelRequested, Refused
from offload.model.growth import resources_of
from offload.model.ids import JobId, PoolId, pool_id
from offload.model.reasons import Reason, ReasonCode
from offload.store import facts, jobs, pausing, pools, tasks
from offload.store.engine import Store

_log = logging.getLogger(__name__)
SWEEP: Final = 30.0
"""Seconds after which every unfinished job is looked at, whether or not anything changed."""
_PATIENCE: Final = 120.0
"""Seconds a backend gets for one call."""


class Reconciler:
    """Takes the steps; ``address`` is where runners dial."""

    def __init__(
        self, store: Store, hub: Hub, clusters: Clusters, tokens: Tokens, clock: Clock, *, address: str
    ) -> None:
        self._store = store
        self._hub = hub
        self._clusters = clusters
        self._tokens = tokens
        self._clock = clock
        self._address = address
        self._due: set[str] = set()
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, set[int]] = {}
        self._look = asyncio.Event()
        hub.on_job(self.poke)

    async def run(self) -> None:
        """Look at every unfinished job now and every half minute, as long as there are any."""
        while True:
            unfinished = await self._store.run(jobs.unfinished)
            for job in unfinished:
                self.poke(job)
            self._look.clear()
            if unfinished:
                await asyncio.sleep(SWEEP)
            else:
                await self._look.wait()

    def poke(self, job: str) -> None:
        """Have a job looked at soon."""
        self._due.add(job)
        self._look.set()
        if job not in self._workers:
            self._workers[job] = asyncio.create_task(self._work(job), name=f"reconcile {job}")

    def retell(self, job: str) -> None:
        """Tell the cluster's backend anew what is wanted of a job: it is another one than before."""
        self._told.pop(job, None)
        self._hub.job_changed(job)

    async def aclose(self) -> None:
        """Stop in the middle of whatever is under way; the next launcher takes the same steps."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, job: str) -> None:
        waits = pauses()
        try:
            while job in self._due:
                self._due.discard(job)
                try:
                    await self.step(job)
                    waits = pauses()
                except Exception as error:  # noqa: BLE001  shown to people, and tried again
                    await self._retry(job, error, next(waits))
        finally:
            del self._workers[job]

    async def _retry(self, job: str, error: Exception, pause: float) -> None:
        _log.warning(
            "Job %s: %s Tried again in %.1f s.", job, error, pause, extra={"action": "retry", "job": job}
        )
        with self._hub.listen(f"job:{job}") as bell:
            await bell.wait(pause)
        self._due.add(job)

    async def _say(self, job: str, pool: PoolId, reason: Reason) -> None:
        news = await self._store.run(pools.waits, pool, reason, self._clock.now())
        if news:
            self._hub.ring(f"job:{job}")
            self._hub.ring("events")

    async def step(self, job: str) -> bool:
        """Take the step that is due for each pool; whether there was one, and the job is looked at again."""
        known = await self._store.run(facts.of_job, job)
        if known is None:
            return False
        state, target, counts, found = known
        told = self._told.get(job, ())
        # A backend may have forgotten its wishes with the launcher that ended: each is told anew once.
        each = (pool if pool.size in told else replace(pool, wanted=None) for pool in found)
        steps = list(plan_all(state, target, counts, each))
        trials = (self._try(JobId(job), size, step) for size, step in steps)
        errors = [error for error in await asyncio.gather(*trials) if error]
        if len(errors) < len(steps):
            ended = any(isinstance(step, (Release, GiveUp)) for _, step in steps)
            goes_on = all(isinstance(step, Scale) for _, step in steps)
            self._hub.job_changed(job, desk=ended, idle=True, goes_on=goes_on)
        if errors:
            raise errors[0]
        return bool(steps)

    async def _try(self, job: JobId, size: int, step: Step) -> Exception | None:
        """Take a step of one pool; what is in the way is what its tasks wait for."""
        pool = pool_id(job, size)
        _log.info("Pool %s: %s", pool, step, extra={"action": type(step).__name__.lower(), "job": job})
        try:
            await self._take(job, size, step)
        except Exception as error:  # noqa: BLE001  shown to people, and tried again
            try:
                await self._say(job, pool, _trouble(error))
            except OffloadError as other:
                _log.warning("Pool %s: %s", pool, other, extra={"action": "retry", "job": job})
            return error
        return None

    async def _take(self, job: JobId, size: int, step: Step) -> None:
        now = self._clock.now()
        match step:
            case GiveUp():
                await self._store.run(jobs.give_up, job, now)
            case Pause(reason):
                await self._store.run(pausing.trip, job, reason, now)
            case CancelPending(reason):
                await self._store.run(tasks.end_pending, job, CancelRequested(reason), now, size=size)
            case FailPending(reason):
                await self._store.run(tasks.end_pending, job, Refused(reason), now, size=size)
            case Scale(runners):
                await self._scale(job, size, runners)
            case Release():
                await self._release(job, size)
            case _:
                assert_never(step)

    async def _scale(self, job: JobId, size: int, runners: int) -> None:
        view = await self._store.run(jobs.get, job)
        pool = Pool(
            id=pool_id(job, size),
            user=view.user,
            resources=resources_of(view.spec, size),
            token=self._tokens.of_pool(pool_id(job, size)),
            launcher=self._address,
            submitted=view.created,
            grace=view.spec.grace,
            name=view.spec.name,
            home=unquote(urlsplit(view.spec.home).path) or "/",
            time_limit=view.spec.time_limit,
            tasks=view.counts.total,
            image=view.spec.image,
            profile=view.spec.profile,
            mounts=view.spec.mounts,
            queue=view.spec.queue,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._clusters.backend(view.spec.cluster).scale(pool, runners)
        except RefusedError as error:
            no = Reason(code=ReasonCode.REFUSED, sentence=error.sentence, words=error.words)
            await self._store.run(pools.refuse, pool.id, no)
        await self._store.run(pools.told, pool.id, runners)
        self._told.setdefault(job, set()).add(size)

    async def _release(self, job: JobId, size: int) -> None:
        view = await self._store.run(jobs.get, job)
        async with asyncio.timeout(_PATIENCE):
            await self._clusters.backend(view.spec.cluster).release(pool_id(job, size))
        await self._store.run(pools.released, pool_id(job, size))
        self._told.pop(job, None)


def _trouble(error: Exception) -> Reason:
    if isinstance(error, OffloadError):
        return Reason(code=ReasonCode.UNKNOWN, sentence=error.sentence, words=error.next_step)
    if isinstance(error, TimeoutError):
        sentence = f"The cluster hasn't answered for {_PATIENCE:g} s."
        return Reason(code=ReasonCode.UNKNOWN, sentence=sentence)
    return Reason(
        code=ReasonCode.UNKNOWN, sentence="The cluster can't be told what to do.", words=repr(error)
    )
