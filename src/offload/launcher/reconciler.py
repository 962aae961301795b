"""Brings what is nearer to what is wanted, one step at a time, for every job that isn't done.

For a job: read what is known, let :func:`~offload.lifecycle.job.plan` name the step that is due, take it,
and look again until none is. A step is idempotent, and what the store says changes only after it was taken;
so a launcher that dies anywhere in between takes the same step again. One worker per job: steps of one job
never overlap, and a cluster that doesn't answer holds up only its own jobs.

A worker is started by whatever changes the job, for every unfinished job when the launcher starts, and
again every now and then. What a step raises is never the end: the job says that it waits and why, and the
step is tried again after a pause.
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
from offload.lifecycle.job import CancelPending, FailPending, GiveUp, Pause, Release, Scale, Step, plan
from offload.lifecycle.task import CancelRequested, Refused
from offload.model.ids import JobId, pool_id
from offload.model.reasons import Reason, ReasonCode
from offload.store import jobs, pausing, pools, tasks
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
        self._told: set[str] = set()
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
        self._told.discard(job)
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
                    while await self.step(job):
                        pass
                    waits = pauses()
                except Exception as error:  # noqa: BLE001  shown to people, and tried again
                    await self._retry(job, error, next(waits))
        finally:
            del self._workers[job]

    async def _retry(self, job: str, error: Exception, pause: float) -> None:
        _log.warning(
            "Job %s: %s Tried again in %.1f s.", job, error, pause, extra={"action": "retry", "job": job}
        )
        try:
            await self._say(job, _trouble(error))
        except OffloadError as other:
            _log.warning("Job %s: %s", job, other, extra={"action": "retry", "job": job})
        with self._hub.listen(f"job:{job}") as bell:
            await bell.wait(pause)
        self._due.add(job)

    async def _say(self, job: str, reason: Reason | None) -> None:
        news = await self._store.run(pools.waits, pool_id(JobId(job)), reason, self._clock.now())
        if news:
            self._hub.ring(f"job:{job}")
            self._hub.ring("events")

    async def step(self, job: str) -> bool:
        """Take the step that is due; whether there was one."""
        facts = await self._store.run(jobs.facts, job)
        if facts is None:
            return False
        state, target, counts, pool = facts
        # A backend may have forgotten its wishes with the launcher that ended: each is told anew once.
        step = plan(state, target, counts, pool if job in self._told else replace(pool, wanted=None))
        if step is None:
            return False
        _log.info("Job %s: %s", job, step, extra={"action": type(step).__name__.lower(), "job": job})
        await self._take(JobId(job), step)
        self._hub.job_changed(job, desk=isinstance(step, (Release, GiveUp)), idle=True)
        return True

    async def _take(self, job: JobId, step: Step) -> None:
        match step:
            case GiveUp():
                await self._store.run(jobs.give_up, job, self._clock.now())
            case Pause(reason):
                await self._store.run(pausing.trip, job, reason, self._clock.now())
            case CancelPending(reason):
                await self._store.run(tasks.end_pending, job, CancelRequested(reason), self._clock.now())
            case FailPending(reason):
                await self._store.run(tasks.end_pending, job, Refused(reason), self._clock.now())
            case Scale(runners):
                await self._scale(job, runners)
            case Release():
                await self._release(job)
            case _:
                assert_never(step)

    async def _scale(self, job: JobId, runners: int) -> None:
        view = await self._store.run(jobs.get, job)
        pool = Pool(
            id=pool_id(job),
            user=view.user,
            resources=view.spec.resources,
            token=self._tokens.of_pool(pool_id(job)),
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
        self._told.add(job)
        if view.reason is not None and view.reason.code is ReasonCode.UNKNOWN:
            await self._say(job, None)

    async def _release(self, job: JobId) -> None:
        view = await self._store.run(jobs.get, job)
        async with asyncio.timeout(_PATIENCE):
            await self._clusters.backend(view.spec.cluster).release(pool_id(job))
        await self._store.run(pools.released, pool_id(job))
        self._told.discard(job)


def _trouble(error: Exception) -> Reason:
    if isinstance(error, OffloadError):
        return Reason(code=ReasonCode.UNKNOWN, sentence=error.sentence, words=error.next_step)
    if isinstance(error, TimeoutError):
        sentence = f"The cluster hasn't answered for {_PATIENCE:g} s."
        return Reason(code=ReasonCode.UNKNOWN, sentence=sentence)
    return Reason(
        code=ReasonCode.UNKNOWN, sentence="The cluster can't be told what to do.", words=repr(error)
    )
