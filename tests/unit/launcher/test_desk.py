"""What runners are told, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
import time

import pytest

from fakes.service import finished
from offload.errors import PoolReleasedError, ProtocolError
from offload.launcher.desk import Desk
from offload.model.ids import pool_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.store import jobs, pools
from offload.wire.runner_protocol import Completion, Hello, LeaseRequest, LeaseResponse, OrderKind

LOST = Reason(code=ReasonCode.RUNNER_LOST, sentence="It is gone.")


def done(lease, exit_status: int = 0) -> Completion:
    return Completion(token=lease.token, outcome=Outcome(exit_status=exit_status))


async def test_a_lease_whose_answer_was_lost_is_handed_out_again(parts):
    runner = await parts.hello((await parts.submit("1-2")).id)
    first = await parts.granted(runner)
    again = await parts.granted(runner)
    assert again.token == first.token
    other = await parts.lease(runner, 1, holding=(first.token,))
    assert [lease.task for lease in other.leases] == [2]


async def test_several_slots_are_filled_by_one_call(parts):
    runner = await parts.hello((await parts.submit("1-5")).id)
    assert [lease.task for lease in (await parts.lease(runner, 3)).leases] == [1, 2, 3]


async def test_a_completion_is_settled_once_however_often_it_is_told(parts):
    job = (await parts.submit("1-2")).id
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    for _ in range(3):
        response = await parts.lease(runner, completions=(done(lease),))
        assert response.settled == (lease.token,)
    assert (await parts.job(job)).counts.succeeded == 1


async def test_a_newer_call_makes_the_older_return_at_once(parts):
    runner = await parts.hello((await parts.submit()).id)
    lease = await parts.granted(runner)
    older = asyncio.create_task(parts.lease(runner, holding=(lease.token,)))
    await asyncio.sleep(0)
    newer = await parts.lease(runner, completions=(done(lease),))
    assert newer.settled == (lease.token,)
    assert await asyncio.wait_for(older, 5) == LeaseResponse()


async def test_a_waiting_runner_is_told_of_a_cancel_and_is_not_told_twice(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    waiting = asyncio.create_task(parts.lease(runner, holding=(lease.token,)))
    await asyncio.sleep(0)
    await parts.store.run(jobs.request_cancel, job, 1.0)
    parts.hub.job_changed(job, desk=True)
    (order,) = (await asyncio.wait_for(waiting, 5)).orders
    assert (order.kind, order.token) == (OrderKind.CANCEL, lease.token)
    quiet = asyncio.create_task(parts.lease(runner, holding=(lease.token,), cancelling=(lease.token,)))
    assert not await finished(quiet)
    parts.hub.stop()
    assert await quiet == LeaseResponse()


async def test_a_void_lease_is_dropped(parts):
    runner = await parts.hello((await parts.submit()).id)
    (order,) = (await parts.lease(runner, holding=("void",))).orders
    assert (order.kind, order.token) == (OrderKind.DROP, "void")


async def test_a_runner_that_was_seen_to_end_is_turned_away_and_its_task_goes_to_another(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    await parts.store.run(pools.ended, runner, LOST, 1.0)
    with pytest.raises(PoolReleasedError, match="seen to have ended"):
        await parts.lease(runner, completions=(done(lease),))
    with pytest.raises(PoolReleasedError):
        await parts.hello(job)
    other = await parts.hello(job, 1)
    again = await parts.granted(other)
    assert (again.task, again.attempt) == (1, 2)
    await parts.lease(other, completions=(done(again),))
    assert (await parts.job(job)).state is State.SUCCEEDED


async def test_an_idle_runner_stops_once_fewer_runners_are_wanted(parts):
    job = (await parts.submit("1-2")).id
    one, two = await parts.hello(job), await parts.hello(job, 1)
    await parts.store.run(pools.told, pool_id(job), 2)
    leases = [await parts.granted(one), await parts.granted(two)]
    idle = asyncio.create_task(parts.lease(one, 1, completions=(done(leases[0]),)))
    assert (await idle).orders == ()
    waiting = asyncio.create_task(parts.lease(one, 1))
    assert not await finished(waiting)
    await parts.store.run(pools.told, pool_id(job), 1)
    parts.hub.job_changed(job, idle=True)
    (order,) = (await asyncio.wait_for(waiting, 5)).orders
    assert order.kind is OrderKind.STOP


async def test_an_idle_runner_gets_the_task_that_another_lost(parts):
    job = (await parts.submit("1-2")).id
    one, two = await parts.hello(job), await parts.hello(job, 1)
    await parts.store.run(pools.told, pool_id(job), 2)
    leases = [await parts.granted(one), await parts.granted(two)]
    await parts.lease(one, completions=(done(leases[0]),))
    waiting = asyncio.create_task(parts.lease(one, 1))
    assert not await finished(waiting)
    await parts.observer.over(two, LOST)
    (lease,) = (await asyncio.wait_for(waiting, 5)).leases
    assert (lease.task, lease.attempt) == (2, 2)


async def test_the_last_completion_is_settled_and_then_the_runner_stops(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    response = await parts.lease(runner, 1, completions=(done(lease),))
    assert response.settled == (lease.token,)
    assert [order.kind for order in response.orders] == [OrderKind.STOP]


async def test_a_released_pool_turns_its_runners_away(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    await parts.store.run(pools.released, pool_id(job))
    with pytest.raises(PoolReleasedError):
        await parts.lease(runner, 1)
    with pytest.raises(PoolReleasedError):
        await parts.lease("nobody-0-0", 1)


async def test_a_runner_of_another_version_is_told_so(parts):
    job = (await parts.submit()).id
    hello = Hello(runner=f"{job}-0-0", protocol=99, version="9", hostname="h", cpus=1, memory=1)
    with pytest.raises(ProtocolError, match="99"):
        await parts.desk.hello(hello)


async def test_no_interleaving_of_calls_gives_a_task_away_twice(parts):
    job = (await parts.submit("1-30")).id
    await parts.store.run(pools.told, pool_id(job), 4)

    async def work(number: int) -> list[int]:
        runner, did = await parts.hello(job, number), []
        response = await parts.lease(runner, 2)
        while response.leases:
            did += [lease.task for lease in response.leases]
            response = await parts.lease(runner, 2, completions=tuple(map(done, response.leases)))
        return did

    everything = await asyncio.gather(*map(work, range(4)))
    assert sorted(task for did in everything for task in did) == list(range(1, 31))
    assert (await parts.job(job)).counts.succeeded == 30


async def test_a_waiting_runner_that_is_seen_to_have_ended_is_told_so_at_once(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    waiting = asyncio.create_task(parts.lease(runner, holding=(lease.token,)))
    assert not await finished(waiting)
    await parts.observer.over(runner, LOST)
    with pytest.raises(PoolReleasedError):
        await asyncio.wait_for(waiting, 5)


async def test_calls_that_came_together_with_nothing_to_hear_are_answered_one_by_one(parts):
    desk = Desk(parts.store, parts.hub, parts.clock, poll=0.6)
    job = (await parts.submit("1-20")).id
    holding = {
        runner: await parts.granted(runner) for runner in [await parts.hello(job, n) for n in range(20)]
    }
    began, answered = time.monotonic(), []

    async def call(runner: str) -> None:
        request = LeaseRequest(runner=runner, free_slots=0, holding=(holding[runner].token,))
        assert await desk.lease(request) == LeaseResponse()
        answered.append(time.monotonic() - began)

    await asyncio.gather(*map(call, holding))
    assert min(answered) >= 0.3
    assert max(answered) - min(answered) > 0.1
