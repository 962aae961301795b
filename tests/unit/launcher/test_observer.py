"""What a cluster sees becomes what is known, and what it doesn't see any more is gone."""

from __future__ import annotations

import asyncio

from offload.errors import BackendUnavailableError
from offload.model.ids import pool_id
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.store import tasks

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


async def test_a_refused_pool_fails_its_job_with_the_clusters_words(parts):
    job = (await parts.submit("1-2")).id
    await parts.observer.take(Observation(pool=pool_id(job), phase=Phase.WAITING, reason=REFUSED))
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
