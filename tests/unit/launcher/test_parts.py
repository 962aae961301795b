"""The small parts: wake-ups, tokens, idleness, restarting work."""

from __future__ import annotations

import asyncio
import stat

from fakes.clock import SetClock
from fakes.service import finished
from offload.launcher.background import Background
from offload.launcher.clock import pauses
from offload.launcher.hub import Hub
from offload.launcher.idle import Idle
from offload.launcher.tokens import Tokens
from offload.store import pausing


async def test_a_ring_between_reading_and_waiting_is_heard():
    hub = Hub()
    with hub.listen("a", "b") as bell:
        hub.ring("a")
        hub.ring("b")
        hub.ring("c")
        assert await bell.wait(0.01) == {"a", "b"}
        assert await bell.wait(0.01) == set()
    hub.ring("a")


async def test_who_waits_for_a_jobs_end_is_not_woken_by_each_of_its_tasks():
    hub = Hub()
    with hub.listen("rest:a") as end, hub.listen("job:a") as change:
        hub.job_changed("a", goes_on=True)
        assert await end.wait(0) == set()
        assert await change.wait(0) == {"job:a"}
        hub.job_changed("a")
        assert await end.wait(0) == {"rest:a"}


async def test_a_hub_that_stops_wakes_everyone_and_whoever_comes_later():
    hub = Hub()
    with hub.listen("a") as bell:
        waiting = asyncio.create_task(bell.wait())
        await asyncio.sleep(0)
        hub.stop()
        assert await asyncio.wait_for(waiting, 5)
    with hub.listen("b") as bell:
        assert await bell.wait(5)


def test_tokens_are_derived_from_a_secret_that_only_the_owner_can_read(tmp_path):
    path = tmp_path / "secret"
    tokens, again = Tokens.open(path), Tokens.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    token = tokens.of_pool("k7m2q9x-0")
    assert again.pool_of(token) == "k7m2q9x-0"
    assert Tokens(b"other").pool_of(token) is None
    for wrong in ("", ".", "k7m2q9x-0", token[:-1], token.replace("k7", "k8"), tokens.of_api()):
        assert tokens.pool_of(wrong) is None
    assert tokens.is_api(tokens.of_api())
    assert not tokens.is_api(token)


def test_pauses_grow_up_to_a_bound_and_differ():
    waits = pauses(1.0, 8.0)
    found = [next(waits) for _ in range(50)]
    assert all(0.5 <= wait <= 8 for wait in found)
    assert found[0] <= 1
    assert len(set(found)) > 40


async def test_idleness_counts_from_the_last_request_and_never_while_a_job_is_unfinished(parts):
    clock = SetClock()
    idle = Idle(parts.store, clock, 100.0)
    clock.pass_(60)
    assert await idle.rest(100) == 40
    with idle.asked():
        clock.pass_(500)
        assert await idle.rest(100) == 100
    assert await idle.rest(100) == 100
    await parts.submit()
    clock.pass_(1000)
    assert await idle.rest(100) == 100


async def test_a_launcher_without_idle_limit_never_ends_by_itself(parts):
    await Idle(parts.store, parts.clock, None).run(lambda: None)


async def test_an_idle_launcher_is_ended_once(parts):
    clock = SetClock()
    idle, ends = Idle(parts.store, clock, 100.0), []
    clock.pass_(101)
    await asyncio.wait_for(idle.run(lambda: ends.append(1)), 5)
    assert ends == [1]


async def test_work_that_fails_is_started_again():
    background, done, calls = Background(), asyncio.Event(), []

    async def work() -> None:
        calls.append(1)
        if len(calls) < 2:
            raise RuntimeError("once")
        done.set()

    background.start("work", work)
    await asyncio.wait_for(done.wait(), 10)
    await background.aclose()
    assert len(calls) == 2


async def test_background_work_is_over_after_closing():
    background = Background()
    forever = asyncio.Event()
    background.start("forever", forever.wait)
    (task,) = background._tasks
    assert not await finished(task)
    await background.aclose()
    assert task.cancelled()


async def test_a_paused_job_keeps_no_launcher_alive(parts):
    clock = SetClock()
    idle = Idle(parts.store, clock, 100.0)
    job = (await parts.submit("1-2")).id
    await parts.store.run(pausing.request_pause, job, "ada", 1.0)
    clock.pass_(60)
    assert await idle.rest(100) == 40
    assert await parts.janitor.first_round_after() < 5 * 60
    await parts.store.run(pausing.request_resume, job, "ada", 2.0)
    assert await idle.rest(100) == 100
