"""What a cluster sees becomes what is known, and what it doesn't see any more is gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from offload.errors import BackendUnavailableError
from offload.launcher.observer import Observer
from offload.model.ids import RunnerId, pool_id, runner_id
from offload.model.observation import Observation, Phase, Synced
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.store import events, pools, tasks
from offload.wire.codec import convert
from offload.wire.runner_protocol import Completion

WAITS = Reason(code=ReasonCode.WAITING_FOR_CAPACITY, sentence="Waits for 4 CPUs.")
REFUSED = Reason(code=ReasonCode.REFUSED, sentence="The cluster says no.", words="forbidden")
OOM = Reason(code=ReasonCode.EVICTED, sentence="The node ran out of memory.")


async def holder(parts, **options):
    """A job with a runner that holds its task."""
    job = (await parts.submit(**options)).id
    runner = await parts.hello(job)
    return job, runner, await parts.granted(runner)


async def test_a_runner_that_nobody_names_until_synced_is_gone(parts):
    job, runner, _ = await holder(parts)
    await parts.observer.begin()
    await parts.observer.take(Synced())
    view = await parts.job(job)
    assert (view.counts.pending, view.counts.running) == (1, 0)
    other = await parts.hello(job, 1)
    assert (await parts.granted(other)).attempt == 2
    assert parts.observer.vouches(runner, pool_id(job)) is False


async def test_a_runner_that_was_named_is_kept_and_vouched_for(parts):
    job, runner, _ = await holder(parts)
    await parts.observer.begin()
    await parts.observer.take(parts.seen(runner))
    assert parts.observer.vouches(runner, pool_id(job)) is None
    await parts.observer.take(Synced())
    assert (await parts.job(job)).counts.running == 1
    assert parts.observer.vouches(runner, pool_id(job)) is True


async def test_a_runner_that_began_after_the_watch_is_not_judged_by_it(parts):
    await parts.observer.begin()
    job, _, _ = await holder(parts)
    await parts.observer.take(Synced())
    assert (await parts.job(job)).counts.running == 1


async def test_an_ended_runner_loses_its_lease_for_the_reason_that_was_seen(parts):
    job, runner, _ = await holder(parts)
    await parts.observer.begin()
    await parts.observer.take(parts.seen(runner))
    await parts.observer.take(Synced())
    await parts.observer.take(parts.seen(runner, Phase.ENDED, reason=OOM))
    (task,) = (await parts.store.run(tasks.page, job)).tasks
    assert (task.state, task.attempts[0].state, task.attempts[0].reason) == ("pending", "lost", OOM)


async def test_why_a_pool_waits_is_shown_until_it_does_not_wait(parts):
    job = (await parts.submit()).id
    pool = pool_id(job)
    await parts.observer.begin()
    await parts.observer.take(Observation(pool=pool, phase=Phase.WAITING, reason=WAITS))
    assert (await parts.job(job)).reason == WAITS
    await parts.observer.take(Observation(pool=pool, phase=Phase.RUNNING))
    assert (await parts.job(job)).reason is None
    assert parts.observer._picture == {}


async def test_each_change_of_what_a_pool_waits_for_is_kept_with_its_time_and_words(parts):
    job = (await parts.submit()).id
    pool = pool_id(job)
    await parts.observer.begin()
    pulling = Reason(code=ReasonCode.STAGING, sentence="Its image is fetched since 3 s.", words="Pulling r:4")
    for reason in (WAITS, pulling, replace(pulling, sentence="Its image is fetched since 9 s."), WAITS):
        parts.clock.pass_(10)
        await parts.observer.take(Observation(pool=pool, phase=Phase.WAITING, reason=reason))
        assert (await parts.job(job)).reason == reason
    await parts.observer.take(Observation(pool=pool, phase=Phase.GONE))
    history = await parts.store.run(events.read, job=job, kinds=["waiting"])
    assert [convert(event.data["reason"], Reason) for event in history] == [WAITS, pulling, WAITS]
    assert [event.at - history[0].at for event in history] == [0, 10, 30]


async def test_a_job_that_has_ended_waits_for_nothing_whatever_its_pool_does(parts):
    job, runner, lease = await holder(parts)
    await parts.lease(runner, 0, completions=(Completion(token=lease.token, outcome=Outcome(exit_status=0)),))
    await parts.observer.take(Observation(pool=pool_id(job), phase=Phase.WAITING, reason=WAITS))
    assert await parts.store.run(events.read, job=job, kinds=["waiting"]) == []


async def test_a_runner_that_ends_before_it_says_hello_is_kept_with_why(parts):
    job = (await parts.submit()).id
    runner = runner_id(pool_id(job), 0)
    await parts.observer.begin()
    await parts.observer.take(parts.seen(runner, Phase.ENDED, reason=OOM))
    (event,) = await parts.store.run(events.read, job=job, kinds=["runner_ended"])
    assert (event.data["runner"], convert(event.data["reason"], Reason)) == (runner, OOM)


async def test_whatever_a_backend_adds_to_a_runners_name_the_right_job_is_woken(parts):
    job, _, _ = await holder(parts)
    runner = RunnerId(f"{pool_id(job)}-0-abcde")
    with parts.hub.listen(f"idle:{job}") as bell:
        await parts.observer.over(runner, OOM)
        assert await bell.wait(1) == {f"idle:{job}"}


async def test_the_end_of_a_runner_wakes_whoever_may_get_its_task_and_not_those_that_have_one(parts):
    job, lost, _ = await holder(parts)
    with parts.hub.listen(f"desk:{job}") as others, parts.hub.listen(f"runner:{lost}") as own:
        await parts.observer.over(lost, OOM)
        assert await own.wait(1) == {f"runner:{lost}"}
        assert await others.wait(0.1) == set()


async def test_a_refused_pool_fails_its_job_with_the_clusters_words(parts):
    job = (await parts.submit("1-2")).id
    await parts.observer.take(Observation(pool=pool_id(job), phase=Phase.WAITING, reason=REFUSED, final=True))
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.state, view.reason) == (State.FAILED, REFUSED)


async def test_runners_that_end_before_they_say_hello_fail_the_job_in_the_end(parts):
    job = (await parts.submit()).id
    await parts.observer.begin()
    await parts.observer.take(Synced())
    for number in range(5):
        died = Reason(code=ReasonCode.RUNNER_LOST, sentence="It ended.", words=f"no module {number}")
        pool = pool_id(job)
        seen = Observation(pool=pool, runner=f"{pool}-{number}", phase=Phase.ENDED, reason=died)
        await parts.observer.take(seen)
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.state, view.reason.words) == (State.FAILED, "no module 4")


async def test_a_pool_that_nobody_knows_or_that_is_done_is_a_leftover_and_released(parts):
    job = (await parts.submit()).id
    done = (await parts.submit(key="other")).id
    await parts.store.run(pools.released, pool_id(done))
    await parts.observer.begin()
    for name in (job, done, "stranger"):
        await parts.observer.take(parts.seen(f"{name}-0-0"))
    await parts.observer.take(Synced())
    await until(lambda: len(parts.backend.released) == 2)
    await parts.observer.take(parts.seen("late-0-0"))
    await until(lambda: len(parts.backend.released) == 3)
    assert set(parts.backend.released) == {pool_id(done), "stranger-0", "late-0"}


async def test_a_runner_that_runs_and_says_nothing_is_told_until_it_says_hello(parts):
    observer = Observer(parts.cluster, parts.store, parts.hub, parts.clock, silence=0.05)
    job = (await parts.submit()).id
    await observer.begin()
    await observer.take(Synced())
    await observer.take(parts.seen(f"{job}-0-0"))
    async with asyncio.timeout(10):
        while (reason := (await parts.job(job)).reason) is None:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    assert reason.code is ReasonCode.LAUNCHER_UNREACHABLE
    await parts.hello(job)
    assert (await parts.job(job)).reason is None


async def test_a_runner_that_said_hello_is_not_called_silent(parts):
    observer = Observer(parts.cluster, parts.store, parts.hub, parts.clock, silence=0.0)
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    await observer.begin()
    await observer.take(Synced())
    await observer.take(parts.seen(runner))
    await observer._still_silent(runner, pool_id(job))
    assert (await parts.job(job)).reason is None


async def test_news_about_pools_of_others_changes_nothing(parts):
    await parts.observer.begin()
    await parts.observer.take(Observation(pool="x-0", runner="x-0-0", phase=Phase.GONE))
    await parts.observer.take(Observation(pool="x-0", phase=Phase.WAITING, reason=WAITS))
    await parts.observer.take(Synced())


async def test_a_watch_that_breaks_is_the_clusters_problem_until_it_works_again(parts):
    watching = asyncio.create_task(parts.observer.run())
    parts.backend.see(BackendUnavailableError("The cluster hung up."))
    await until(lambda: parts.cluster.problem)
    (view,) = await parts.clusters.views()
    assert view.problem == "The cluster can't be watched: The cluster hung up."
    await until(lambda: not parts.cluster.problem)
    watching.cancel()
    await asyncio.wait([watching])


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the observer tells nobody
            await asyncio.sleep(0.01)


async def test_a_pool_that_waits_again_after_it_ran_says_so_and_takes_it_back_again(parts):
    job = (await parts.submit("1-2")).id
    one, two = runner_id(pool_id(job), 0), runner_id(pool_id(job), 1)
    await parts.observer.begin()
    for _ in range(2):
        await parts.observer.take(parts.seen(one))
        assert (await parts.job(job)).reason is None
        await parts.observer.take(parts.seen(two, Phase.WAITING, reason=REFUSED))
        assert (await parts.job(job)).reason == REFUSED
        await parts.observer.take(parts.seen(two))
        assert (await parts.job(job)).reason is None
