"""Silent runners: lost only if their cluster doesn't see them, and never because the launcher was away."""

from __future__ import annotations

import pytest

from offload.model.observation import Phase, Synced
from offload.store import tasks

TTL = 60.0


@pytest.fixture
async def held(parts):
    """A job, a runner that holds its task, and an expiry that has looked once."""
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    await parts.granted(runner)
    await parts.observer.begin()
    assert await parts.expiry.check() == []
    return job, runner


async def be_silent(parts, seconds: float) -> list[str]:
    lost = []
    for _ in range(int(seconds / 15)):
        parts.clock.pass_(15)
        lost += await parts.expiry.check()
    return lost


async def test_a_silent_runner_that_its_cluster_does_not_see_is_lost(parts, held):
    job, runner = held
    await parts.observer.take(parts.seen(runner))
    await parts.observer.take(Synced())
    await parts.observer.take(parts.seen(runner, Phase.UNKNOWN))
    assert await be_silent(parts, TTL) == []
    assert await be_silent(parts, 30) == [runner]
    (task,) = (await parts.store.run(tasks.page, job)).tasks
    assert (task.state, task.attempts[0].state) == ("pending", "lost")
    assert "silent" in task.attempts[0].reason.sentence


async def test_a_silent_runner_that_its_cluster_vouches_for_is_kept(parts, held):
    _, runner = held
    await parts.observer.take(parts.seen(runner))
    await parts.observer.take(Synced())
    assert await be_silent(parts, 10 * TTL) == []


async def test_nobody_is_lost_before_the_clusters_picture_is_complete(parts, held):
    assert await be_silent(parts, 10 * TTL) == []


async def test_a_runner_that_speaks_is_kept(parts, held):
    _, runner = held
    await unseen(parts, runner)
    lease = (await parts.lease(runner, 1)).leases[0]
    for _ in range(20):
        parts.clock.pass_(15)
        await parts.store.run(tasks.renew, runner, [lease.token], parts.clock.now() + TTL)
        assert await parts.expiry.check() == []


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 40.0, 86400.0])
async def test_a_clock_that_jumps_loses_no_lease(parts, held, seconds):
    _, runner = held
    await unseen(parts, runner)
    parts.clock.pass_(15)
    parts.clock.jump(seconds)
    assert await parts.expiry.check() == []
    assert await be_silent(parts, TTL) == []
    assert await be_silent(parts, 30) == [runner]


async def test_a_launcher_that_was_stopped_for_long_gives_a_grace_period(parts, held):
    _, runner = held
    await unseen(parts, runner)
    parts.clock.pass_(1000)
    assert await parts.expiry.check() == []
    assert await be_silent(parts, TTL + 30) == [runner]


async def test_the_runner_of_a_cluster_that_is_not_configured_any_more_is_lost(parts, held):
    _, runner = held
    parts.expiry._observers = {}
    assert await be_silent(parts, TTL + 30) == [runner]


async def unseen(parts, runner) -> None:
    await parts.observer.take(parts.seen(runner))
    await parts.observer.take(Synced())
    await parts.observer.take(parts.seen(runner, Phase.UNKNOWN))
