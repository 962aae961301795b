"""The lease desk: what runners say, and what they are told.

A lease call carries everything that isn't bulk, in both directions. When there is nothing to say it waits
for a while; a newer call of the same runner makes the older one return at once, so a completion never waits
behind a long poll. All of a call is one transaction, and repeating it changes nothing: a lease whose answer
got lost is handed out again, a completion that was counted is settled again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from offload.errors import ProtocolError
from offload.launcher.clock import Clock
from offload.launcher.hub import Hub
from offload.launcher.log_keeper import LogKeeper
from offload.launcher.paces import Paces
from offload.lifecycle.batch import Pace
from offload.model.growth import resources_of
from offload.model.ids import RunnerId, job_of_pool, pool_of_runner, size_of_pool
from offload.store import jobs, leases, pools
from offload.store.engine import Store
from offload.wire.runner_protocol import PROTOCOL_VERSION, Hello, LeaseRequest, LeaseResponse, Welcome

TTL: Final = 60.0
"""Seconds after which a silent runner's lease may be lost."""
POLL: Final = 20.0
"""Seconds that a call with nothing to say waits at most; three of them fit into a lease."""
_LOOK_AGAIN: Final = 2.0
"""Seconds until a runner is told to try again for whose output there was no space, at most."""
_SPREAD: Final = (0.5, 1.0)


class Desk:
    """Speaks with runners; ``ttl`` and ``poll`` in seconds."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        logs: LogKeeper,
        *,
        ttl: float = TTL,
        poll: float = POLL,
    ) -> None:
        self._store = store
        self._logs = logs
        self._hub = hub
        self._clock = clock
        self._ttl = ttl
        self._poll = poll
        self._newest: dict[str, object] = {}
        self._paces = Paces()

    async def hello(self, hello: Hello) -> Welcome:
        """Welcome a runner.

        Raises:
            ProtocolError: it speaks another version.
            PoolReleasedError: there is no work for it (any more).
        """
        if hello.protocol != PROTOCOL_VERSION:
            raise ProtocolError(
                f"The runner speaks version {hello.protocol} of the protocol, not {PROTOCOL_VERSION}.",
                next_step="Install the same version of Offload at both ends.",
            )
        runner = RunnerId(hello.runner)
        await self._store.run(pools.hello, runner, self._clock.now())
        pool = pool_of_runner(runner)
        job = job_of_pool(pool)
        view = await self._store.run(jobs.get, job)
        self._hub.job_changed(job)
        spec = view.spec
        resources = resources_of(spec, size_of_pool(pool))
        return Welcome(
            job=job,
            tasks=spec.task_count,
            command=spec.command,
            directory=spec.directory,
            snapshot=spec.snapshot,
            cpus=resources.cpus,
            memory=resources.memory,
            gpus=resources.gpus,
            time_limit=spec.time_limit,
            grace=spec.grace,
            warn=spec.warn,
            env=spec.env,
            stdin=spec.stdin,
            poll=self._poll,
            lease_ttl=self._ttl,
            test_preemption=spec.test_preemption,
            parameters=spec.parameters,
        )

    async def lease(self, request: LeaseRequest) -> LeaseResponse:
        """Do what the call asks for; wait when there is nothing to say, until there is.

        Raises:
            PoolReleasedError: the runner's pool is done, or the runner was seen to have ended.
            ProtocolError: what attempts printed last isn't made of their frames.
        """
        job = job_of_pool(pool_of_runner(RunnerId(request.runner)))
        asked, request = request, await self._keep_output(job, request)
        self._paces.note(job, request.completions)
        topics = [f"desk:{job}", f"runner:{request.runner}"]
        if request.free_slots:
            topics.append(f"idle:{job}")
        loop = asyncio.get_running_loop()
        # A thousand runners that were started together don't call together for ever.
        longest = self._poll if request is asked else min(self._poll, _LOOK_AGAIN)
        deadline = loop.time() + longest * random.uniform(*_SPREAD)  # noqa: S311  guards nothing
        with self._newest_call(request.runner) as call, self._hub.listen(*topics) as bell:
            while self._newest.get(request.runner) is call:
                done = await self._exchange(request, self._paces.of(job))
                if done.response != LeaseResponse() or self._hub.stopping:
                    return done.response
                news = await bell.wait(self._patience(done, deadline - loop.time()))
                if not news and loop.time() >= deadline:
                    break
        return LeaseResponse()

    async def _keep_output(self, job: str, request: LeaseRequest) -> LeaseRequest:
        """Before an attempt is known to have ended, all that it printed is there.

        Where there is no space for that, the attempt goes on for now, and no other begins.
        """
        output = {one.token: one.output for one in request.completions if one.output}
        if not output:
            return request
        runner = RunnerId(request.runner)
        unkept = await self._logs.append_ends(job, runner, output)
        if not unkept:
            return request
        return replace(
            request,
            free_slots=0,
            ahead=0,
            holding=(*request.holding, *unkept),
            cancelling=(*request.cancelling, *unkept),
            completions=tuple(one for one in request.completions if one.token not in unkept),
        )

    @contextmanager
    def _newest_call(self, runner: str) -> Iterator[object]:
        call = object()
        self._newest[runner] = call
        self._hub.ring(f"runner:{runner}")
        try:
            yield call
        finally:
            if self._newest.get(runner) is call:
                del self._newest[runner]

    def _patience(self, done: leases.Exchange, left: float) -> float:
        """Seconds to wait for news."""
        return left if done.due is None else min(left, max(0.0, done.due - self._clock.now()))

    async def _exchange(self, request: LeaseRequest, pace: Pace | None) -> leases.Exchange:
        done = await self._store.run(leases.exchange, request, self._clock.now(), self._ttl, pace)
        if done.changed:
            self._hub.job_changed(done.job, idle=done.concerns_others, goes_on=done.goes_on)
        return done
