"""The promises of the backend contract as tests: every backend is proved by the same suite, ours and others'.

In the tests of a backend, subclass :class:`BackendConformance` and give it a fixture ``cluster``::

    from offload.backends.conformance import BackendConformance, ClusterUnderTest

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def cluster(self, tmp_path) -> Iterator[ClusterUnderTest]:
            ...

The suite needs pytest and pytest-asyncio. Its runners find no work: ``ClusterUnderTest.launcher`` is the
address of anything that welcomes them and lets them wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import pytest

from offload.backends.contract import Backend, Pool
from offload.model.ids import PoolId, RunnerId, new_job_id, pool_id, pool_of_runner
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import ReasonCode
from offload.model.resources import Resources

OVER = (Phase.ENDED, Phase.GONE)


class ClusterUnderTest(Protocol):
    """A real cluster, as the suite needs it.

    Attributes:
        launcher: where runners dial; it welcomes them and gives them no work.
        token: what it takes for the pool's token.
        small: resources of which at least four runners fit at the same time.
        whole: resources of which exactly one runner fits into the empty cluster; None if that isn't known.
        too_large: resources that never fit; None if the cluster can't know that.
        patience: seconds within which the cluster shows any change.
    """

    launcher: str
    token: str
    small: Resources
    whole: Resources | None
    too_large: Resources | None
    patience: float

    def open(self) -> Backend:
        """A new object for the same cluster, as after a restart of the launcher."""

    async def kill(self, runner: RunnerId) -> None:
        """End a runner the hard way, from outside, as a failing machine would."""

    async def leftovers(self, pool: PoolId) -> Collection[str]:
        """Names of everything of this pool that there is: processes, objects, files."""


class Watching:
    """What a backend shows, collected while the test goes on.

    Attributes:
        seen: every observation, in order.
        synced: how many observations came before ``Synced``; None before it came.
    """

    def __init__(self, backend: Backend, patience: float) -> None:
        self.seen: list[Observation] = []
        self.synced: int | None = None
        self._patience = patience
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._collect(backend))

    async def _collect(self, backend: Backend) -> None:
        async for one in backend.watch():
            async with self._news:
                if isinstance(one, Synced):
                    self.synced = len(self.seen)
                else:
                    self.seen.append(one)
                self._news.notify_all()

    def last(self, pool: PoolId) -> dict[RunnerId, Phase]:
        """The latest phase of each runner of a pool."""
        return {one.runner: one.phase for one in self.seen if one.runner and one.pool == pool}

    def alive(self, pool: PoolId) -> set[RunnerId]:
        """Runners of a pool that were last seen alive."""
        return {runner for runner, phase in self.last(pool).items() if phase not in OVER}

    def running(self, pool: PoolId) -> set[RunnerId]:
        """Runners of a pool that were last seen running."""
        return {runner for runner, phase in self.last(pool).items() if phase is Phase.RUNNING}

    def refused(self, pool: PoolId) -> bool:
        """Whether a pool was refused for good, with a reason."""
        return any(one.final and one.reason for one in self.seen if one.pool == pool)

    def codes(self, pool: PoolId) -> list[ReasonCode]:
        """Codes of the reasons that were told about a pool."""
        return [one.reason.code for one in self.seen if one.pool == pool and one.reason]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the collected observations fulfil a condition."""
        async with asyncio.timeout(self._patience), self._news:
            while not condition():
                await self._wait()

    async def _wait(self) -> None:
        if self._task.done():
            await self._task
            pytest.fail("watch() ended by itself")
        await self._news.wait()

    async def close(self) -> None:
        """Stop watching."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def eventually(check: Callable[[], Awaitable[object]], patience: float) -> None:
    """Wait until an outside look at the cluster gives something true."""
    deadline = time.monotonic() + patience
    while not await check():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


class Site:
    """One cluster, its present backend object, and the pools that the test made on it."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self.cluster = cluster
        self.pools: list[PoolId] = []
        self.backend = cluster.open()
        self.watching = Watching(self.backend, cluster.patience)

    def pool(self, resources: Resources | None = None) -> Pool:
        """A pool with a name of its own; later ones were submitted later."""
        self.pools.append(pool_id(new_job_id()))
        return Pool(
            id=self.pools[-1],
            user="someone",
            resources=resources or self.cluster.small,
            token=self.cluster.token,
            launcher=self.cluster.launcher,
            submitted=time.time(),
            grace=1.0,
        )

    async def restart(self) -> None:
        """A launcher ends, and another one begins."""
        await self.close()
        self.backend = self.cluster.open()
        self.watching = Watching(self.backend, self.cluster.patience)

    async def close(self) -> None:
        """Let go of the cluster, as a launcher that ends."""
        await self.watching.close()
        await self.backend.aclose()

    async def alive(self, pool: Pool, count: int) -> set[RunnerId]:
        """Wait until so many runners are seen running: their ids."""
        watching = self.watching
        await watching.until(
            lambda: sum(phase is Phase.RUNNING for phase in watching.last(pool.id).values()) == count
        )
        return watching.alive(pool.id)

    async def settled(self, pool: Pool, count: int) -> None:
        """Assert that there are so many runners, after a round trip that would have shown others."""
        probe = self.pool()
        await self.backend.scale(probe, 1)
        await self.alive(probe, 1)
        await self.backend.release(probe.id)
        assert len(self.watching.alive(pool.id)) == count


@asynccontextmanager
async def site_of(cluster: ClusterUnderTest) -> AsyncIterator[Site]:
    """A site whose pools are released at the end, whatever happened."""
    site = Site(cluster)
    try:
        yield site
    finally:
        for pool in site.pools:
            await site.backend.release(pool)
        await site.close()


@pytest.mark.asyncio
class BackendConformance:
    """What every backend promises. A subclass provides the fixture ``cluster``."""

    async def test_as_many_runners_as_are_wanted_start_and_are_seen(self, cluster: ClusterUnderTest) -> None:
        """``scale`` starts runners, whose ids are of their pool."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            runners = await site.alive(pool, 2)
            assert {pool_of_runner(runner) for runner in runners} == {pool.id}

    async def test_a_repeated_wish_starts_nobody_twice(self, cluster: ClusterUnderTest) -> None:
        """``scale`` is idempotent."""
        async with site_of(cluster) as site:
            pool = site.pool()
            for _ in range(3):
                await site.backend.scale(pool, 1)
            await site.alive(pool, 1)
            await site.backend.scale(pool, 1)
            await site.settled(pool, 1)

    async def test_growing_starts_only_what_is_missing(self, cluster: ClusterUnderTest) -> None:
        """Runners that are there are counted."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 1)
            before = await site.alive(pool, 1)
            await site.backend.scale(pool, 3)
            assert before < await site.alive(pool, 3)

    async def test_shrinking_never_ends_a_runner_that_runs(self, cluster: ClusterUnderTest) -> None:
        """Only the launcher knows which runner works."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            await site.alive(pool, 2)
            await site.backend.scale(pool, 1)
            await site.settled(pool, 2)

    async def test_a_wish_repeated_by_the_next_launcher_starts_nobody_twice(
        self, cluster: ClusterUnderTest
    ) -> None:
        """Names are derived and everything is found again."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            before = await site.alive(pool, 2)
            await site.restart()
            await site.backend.scale(pool, 2)
            assert await site.alive(pool, 2) == before
            await site.settled(pool, 2)

    async def test_a_launcher_that_ends_right_after_a_wish_leaves_no_doubt(
        self, cluster: ClusterUnderTest
    ) -> None:
        """Whatever came of the wish, in the end there is the wanted number of runners."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            await site.restart()
            await site.backend.scale(pool, 2)
            await site.alive(pool, 2)
            await site.settled(pool, 2)

    async def test_after_a_restart_everything_is_named_before_synced(self, cluster: ClusterUnderTest) -> None:
        """Who isn't named until ``Synced`` doesn't exist."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            before = await site.alive(pool, 2)
            await site.restart()
            watching = site.watching
            await watching.until(lambda: watching.synced is not None)
            named = {one.runner for one in watching.seen[: watching.synced] if one.pool == pool.id}
            assert before <= named

    async def test_an_empty_cluster_is_synced_at_once(self, cluster: ClusterUnderTest) -> None:
        """``Synced`` comes even if there is nothing to name."""
        async with site_of(cluster) as site:
            await site.watching.until(lambda: site.watching.synced is not None)

    async def test_a_runner_that_dies_is_seen_and_replaced(self, cluster: ClusterUnderTest) -> None:
        """A dead runner is over, its id is not used again, and the wish stands."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 1)
            (first,) = await site.alive(pool, 1)
            await cluster.kill(first)
            await site.watching.until(lambda: site.watching.last(pool.id)[first] is Phase.GONE)
            (second,) = await site.alive(pool, 1)
            assert second != first
            gone = next(one for one in site.watching.seen if one.runner == first and one.phase is Phase.GONE)
            assert gone.reason is not None
            assert gone.reason.sentence.endswith(".")

    async def test_a_runner_that_died_unwatched_isnt_taken_for_alive(self, cluster: ClusterUnderTest) -> None:
        """After a restart it is over, or not named at all."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 1)
            (first,) = await site.alive(pool, 1)
            await site.close()
            await cluster.kill(first)
            site.backend = cluster.open()
            site.watching = Watching(site.backend, cluster.patience)
            watching = site.watching
            await watching.until(lambda: watching.synced is not None)
            await watching.until(lambda: watching.last(pool.id).get(first, Phase.GONE) in OVER)

    async def test_release_ends_everything_and_leaves_nothing(self, cluster: ClusterUnderTest) -> None:
        """When ``release`` returns, the cluster is as if the pool had never been."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            await site.alive(pool, 2)
            assert await cluster.leftovers(pool.id)
            await site.backend.release(pool.id)
            await eventually(lambda: _nothing(cluster, pool.id), cluster.patience)
            await site.watching.until(lambda: not site.watching.alive(pool.id))

    async def test_release_can_be_repeated_and_an_unknown_pool_is_no_error(
        self, cluster: ClusterUnderTest
    ) -> None:
        """``release`` is idempotent, also for two at the same time and for the next launcher."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.release(PoolId("nobody-0"))
            await site.backend.scale(pool, 1)
            await asyncio.gather(site.backend.release(pool.id), site.backend.release(pool.id))
            await site.backend.release(pool.id)
            await site.restart()
            await site.backend.release(pool.id)
            await eventually(lambda: _nothing(cluster, pool.id), cluster.patience)

    async def test_the_next_launcher_can_release(self, cluster: ClusterUnderTest) -> None:
        """A pool outlives the object that made it, and needs nothing of it to go."""
        async with site_of(cluster) as site:
            pool = site.pool()
            await site.backend.scale(pool, 2)
            await site.alive(pool, 2)
            await site.restart()
            await site.backend.release(pool.id)
            await eventually(lambda: _nothing(cluster, pool.id), cluster.patience)

    async def test_other_pools_are_left_alone(self, cluster: ClusterUnderTest) -> None:
        """Releasing one pool touches no runner of another."""
        async with site_of(cluster) as site:
            mine, other = site.pool(), site.pool()
            await site.backend.scale(mine, 1)
            await site.backend.scale(other, 1)
            kept = await site.alive(other, 1)
            await site.alive(mine, 1)
            await site.backend.release(mine.id)
            await site.settled(other, 1)
            assert site.watching.alive(other.id) == kept

    async def test_what_can_never_fit_is_refused_for_good(self, cluster: ClusterUnderTest) -> None:
        """A final observation that says why, and no runner that runs."""
        if cluster.too_large is None:
            return
        async with site_of(cluster) as site:
            pool = site.pool(cluster.too_large)
            await site.backend.scale(pool, 1)
            await site.watching.until(lambda: site.watching.refused(pool.id))
            assert site.watching.running(pool.id) == set()

    async def test_a_pool_that_does_not_fit_now_says_so_and_starts_later(
        self, cluster: ClusterUnderTest
    ) -> None:
        """A full cluster is a reason to wait, told in a sentence, and the wait ends by itself."""
        if cluster.whole is None:
            return
        async with site_of(cluster) as site:
            first, second = site.pool(cluster.whole), site.pool(cluster.whole)
            await site.backend.scale(first, 1)
            await site.alive(first, 1)
            await site.backend.scale(second, 1)
            await site.watching.until(lambda: site.watching.codes(second.id))
            assert site.watching.running(second.id) == set()
            await site.backend.release(first.id)
            await site.alive(second, 1)

    async def test_a_check_says_how_the_cluster_is(self, cluster: ClusterUnderTest) -> None:
        """A working cluster is available, and is never freer than it is large."""
        async with site_of(cluster) as site:
            health = await site.backend.check()
            assert health.available, health.problem
            if health.capacity and health.free:
                assert health.free.cpus <= health.capacity.cpus
            assert site.backend.capabilities.enforces.keys() <= {"memory", "time", "cpus", "gpus"}


async def _nothing(cluster: ClusterUnderTest, pool: PoolId) -> bool:
    return not await cluster.leftovers(pool)
