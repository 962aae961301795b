"""One step at a time, repeated after anything."""

from __future__ import annotations

import asyncio

import pytest

from offload.errors import BackendUnavailableError, RefusedError
from offload.launcher.hub import Hub
from offload.launcher.reconciler import Reconciler
from offload.launcher.tokens import Tokens
from offload.model.ids import pool_id, runner_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources
from offload.model.states import State
from offload.store import jobs, pausing, pools, tasks
from offload.wire.runner_protocol import PROTOCOL_VERSION, Completion, Hello


async def test_a_step_whose_note_was_lost_is_taken_again_and_changes_nothing(parts):
    job = (await parts.submit("1-3")).id
    assert await parts.reconciler.step(job)
    assert not await parts.reconciler.step(job)
    parts.store.run_now(lambda connection: pools.told(connection, pool_id(job), 0))
    assert await parts.reconciler.step(job)
    assert [(pool.id, wanted) for pool, wanted in parts.backend.scaled] == [(pool_id(job), 3)] * 2


async def test_every_launcher_tells_a_backend_once_what_is_wanted(parts):
    job = (await parts.submit("1-3")).id
    while await parts.reconciler.step(job):
        pass
    next_one = Reconciler(
        parts.store, Hub(), parts.clusters, Tokens(b"secret"), parts.clock, address="unix:/launcher"
    )
    assert await next_one.step(job)
    assert not await next_one.step(job)
    assert [wanted for _, wanted in parts.backend.scaled] == [3, 3]


async def test_a_pool_that_the_backend_refuses_fails_its_job_with_the_clusters_words(parts):
    job = (await parts.submit("1-3")).id
    parts.backend.fails = [RefusedError("The namespace is being removed.", words="it is being terminated")]
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.state, view.counts.failed) == (State.FAILED, 3)
    assert (view.reason.code, view.reason.words) == (ReasonCode.REFUSED, "it is being terminated")
    assert parts.backend.released == [pool_id(job)]


async def test_a_backend_is_told_all_that_it_needs(parts):
    job = await parts.submit(grace=33.0)
    await parts.reconciler.step(job.id)
    pool, _ = parts.backend.scaled[0]
    assert (pool.user, pool.grace, pool.launcher) == ("ada", 33.0, "unix:/launcher")
    assert (pool.submitted, pool.resources) == (job.created, job.spec.resources)
    assert pool.token.startswith(pool.id)
    assert pool.token not in repr(pool)


async def test_a_cancelled_job_that_never_began_ends_and_is_released(parts):
    job = (await parts.submit("1-3")).id
    await parts.reconciler.step(job)
    await parts.store.run(jobs.request_cancel, job, 1.0)
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.state, view.counts.cancelled) == (State.CANCELLED, 3)
    assert parts.backend.released == [pool_id(job)]


async def test_a_large_array_is_cancelled_quickly(parts):
    job = (await parts.submit("1-20000")).id
    await parts.store.run(jobs.request_cancel, job, 1.0)
    async with asyncio.timeout(30):
        while await parts.reconciler.step(job):
            pass
    assert (await parts.job(job)).counts.cancelled == 20000


async def test_runners_are_bounded_however_many_tasks_wait(parts):
    job = (await parts.submit("1-1000")).id
    await parts.reconciler.step(job)
    assert [wanted for _, wanted in parts.backend.scaled] == [64]


async def test_a_worker_tries_again_and_tells_why_until_the_step_succeeds(parts):
    job = (await parts.submit()).id
    parts.backend.fails = [BackendUnavailableError("No route."), BackendUnavailableError("No route.")]
    parts.reconciler._hub = hub = Hub()
    with hub.listen(f"job:{job}") as bell:
        parts.reconciler.poke(job)
        await bell.wait(10)
        reason = (await parts.job(job)).reason
        assert (reason.code, reason.sentence) == ("unknown", "No route.")
        hub.ring(f"job:{job}")
        async with asyncio.timeout(20):
            while not parts.backend.scaled:
                await bell.wait(1)
            while (await parts.job(job)).reason is not None:
                await bell.wait(1)


async def test_a_job_of_a_cluster_that_is_gone_waits_with_a_reason(parts):
    job = (await parts.submit(cluster="gone")).id
    hub = parts.reconciler._hub
    with hub.listen(f"job:{job}") as bell:
        parts.reconciler.poke(job)
        await bell.wait(10)
    assert "isn't configured any more" in (await parts.job(job)).reason.sentence


async def test_every_unfinished_job_is_looked_at_when_the_launcher_starts(parts):
    ids = [(await parts.submit(key=f"k{n}")).id for n in range(3)]
    running = asyncio.create_task(parts.reconciler.run())
    with parts.reconciler._hub.listen("events") as bell:
        async with asyncio.timeout(20):
            while len(parts.backend.scaled) < len(ids):
                await bell.wait(1)
    running.cancel()
    await asyncio.wait([running])
    assert {pool.id for pool, _ in parts.backend.scaled} == set(map(pool_id, ids))


FULL = Reason(code=ReasonCode.OUT_OF_MEMORY, sentence="Too much.")


async def with_a_task_that_ran_out(parts, array="1-3"):
    """A job whose first task waits for a runner with 2 GiB, and what its backend was told until then."""
    memory = {"resources": Resources(memory=1 << 30), "memory_growth": 2.0, "memory_limit": 4 << 30}
    job = (await parts.submit(array, **memory)).id
    while await parts.reconciler.step(job):
        pass
    lease = await parts.granted(await parts.hello(job))
    completion = Completion(token=lease.token, outcome=Outcome(exit_status=137, reason=FULL))
    await parts.store.run(tasks.settle, runner_id(pool_id(job), 0), [completion], 1.0)
    parts.backend.scaled.clear()
    return job


async def test_a_task_that_ran_out_of_memory_gets_a_pool_with_more(parts):
    job = await with_a_task_that_ran_out(parts)
    while await parts.reconciler.step(job):
        pass
    told = {pool.id: (pool.resources.memory, wanted) for pool, wanted in parts.backend.scaled}
    assert told == {pool_id(job): (1 << 30, 2), pool_id(job, 1): (2 << 30, 1)}
    tokens = {pool.token for pool, _ in parts.backend.scaled}
    assert len(tokens) == 2


async def test_a_runner_of_a_larger_size_is_told_its_memory(parts):
    job = await with_a_task_that_ran_out(parts)
    runner = runner_id(pool_id(job, 1), 0)
    hello = Hello(runner=runner, protocol=PROTOCOL_VERSION, version="0", hostname="h", cpus=1, memory=1)
    assert (await parts.desk.hello(hello)).memory == 2 << 30
    assert [lease.task for lease in (await parts.lease(runner, 1)).leases] == [1]


async def test_a_size_that_the_backend_refuses_fails_its_tasks_and_no_others(parts):
    job = await with_a_task_that_ran_out(parts, "1")
    parts.backend.fails_once[pool_id(job, 1)] = RefusedError("Too large for the quota.", words="quota")
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.state, view.reason.code) == (State.FAILED, ReasonCode.OUT_OF_MEMORY)
    assert "no runner with 2 GiB is to be had: Too large for the quota." in view.reason.sentence
    assert set(parts.backend.released) == {pool_id(job), pool_id(job, 1)}


async def test_a_pool_whose_step_fails_says_so_and_holds_up_no_other(parts):
    job = await with_a_task_that_ran_out(parts)
    parts.backend.fails_once[pool_id(job)] = BackendUnavailableError("No route.")
    with pytest.raises(BackendUnavailableError):
        await parts.reconciler.step(job)
    assert [pool.id for pool, _ in parts.backend.scaled] == [pool_id(job, 1)]
    waiting = await parts.store.run(jobs.waiting_of, job)
    assert {size: reason.sentence for size, reason in waiting.items()} == {0: "No route."}
    while await parts.reconciler.step(job):
        pass
    assert await parts.store.run(jobs.waiting_of, job) == {}


async def test_a_job_whose_tasks_fail_alike_is_paused_and_its_runners_are_given_up(parts):
    job = (await parts.submit("1-100")).id
    runner = await parts.hello(job)
    await parts.reconciler.step(job)
    leases = (await parts.lease(runner, 12)).leases
    failed = Outcome(exit_status=3)
    told = tuple(Completion(token=lease.token, outcome=failed) for lease in leases)
    await parts.lease(runner, completions=told)
    while await parts.reconciler.step(job):
        pass
    view = await parts.job(job)
    assert (view.target, view.is_at_rest, view.reason.code) == ("paused", True, ReasonCode.FAILED_ALIKE)
    assert [wanted for _, wanted in parts.backend.scaled] == [64, 0]
    assert not parts.backend.released
    await parts.store.run(pausing.request_resume, job, "ada", 9.0)
    while await parts.reconciler.step(job):
        pass
    assert [wanted for _, wanted in parts.backend.scaled] == [64, 0, 64]
