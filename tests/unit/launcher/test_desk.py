"""What runners are told, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from fakes.service import finished
from offload.errors import DiskFullError, PoolReleasedError, ProtocolError
from offload.launcher.desk import Desk
from offload.launcher.log_file import LogFile
from offload.model.counts import Counts
from offload.model.ids import pool_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.store import jobs, pools, tasks
from offload.wire.frames import Frame, Stream, decode_frames
from offload.wire.runner_protocol import Completion, Hello, Lease, LeaseRequest, LeaseResponse, OrderKind

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


async def measured(parts, array: str, took: float):
    """A job whose first tasks have succeeded, each after ``took`` seconds, and its idle runner."""
    job = (await parts.submit(array)).id
    runner = await parts.hello(job)
    first = (await parts.lease(runner, 4)).leases
    completions = [replace(done(lease), took=took) for lease in first]
    await parts.lease(runner, completions=tuple(completions))
    return job, runner


async def test_short_tasks_are_leased_many_at_a_time_and_more_before_the_last_has_begun(parts):
    _, runner = await measured(parts, "1-1000", took=0.2)
    batch = (await parts.lease(runner, 1, ahead=63)).leases
    assert [lease.task for lease in batch] == list(range(5, 15))
    holding = tuple(lease.token for lease in batch)
    more = await parts.lease(runner, ahead=63, holding=holding[5:], completions=tuple(map(done, batch[:5])))
    assert [lease.task for lease in more.leases] == list(range(15, 20))
    holding = (*holding[6:], *(lease.token for lease in more.leases))
    assert (await parts.lease(runner, ahead=63, holding=holding, completions=(done(batch[5]),))).leases == ()


async def test_long_tasks_are_leased_one_at_a_time(parts):
    _, runner = await measured(parts, "1-1000", took=2.0)
    assert len((await parts.lease(runner, 1, ahead=63)).leases) == 1


async def test_how_fast_a_job_fails_says_nothing(parts):
    job = (await parts.submit("1-1000")).id
    runner = await parts.hello(job)
    first = (await parts.lease(runner, 4)).leases
    completions = tuple(replace(done(lease, 1), took=0.01) for lease in first)
    assert len((await parts.lease(runner, 1, ahead=63, completions=completions)).leases) == 1


async def test_a_lease_that_is_given_back_goes_to_an_idle_runner_under_the_same_number(parts):
    job = (await parts.submit("1-2")).id
    runner, other = await parts.hello(job), await parts.hello(job, 1)
    await parts.store.run(pools.told, pool_id(job), 2)
    begun, waiting = (await parts.lease(runner, 2)).leases
    idle = asyncio.create_task(parts.lease(other, 1))
    assert not await finished(idle)
    answer = await parts.lease(runner, holding=(begun.token,), returned=(waiting.token,))
    assert answer.settled == (waiting.token,)
    [lease] = (await asyncio.wait_for(idle, 5)).leases
    assert (lease.task, lease.attempt) == (2, 1)
    assert lease.token != waiting.token
    again = await parts.lease(runner, holding=(begun.token,), returned=(waiting.token,))
    assert (again.settled, again.leases) == ((waiting.token,), ())
    task = await parts.store.run(tasks.get, job, 2)
    assert [attempt.number for attempt in task.attempts] == [1]


async def test_a_failed_task_is_tried_again_after_a_pause_and_others_meanwhile(parts):
    job = (await parts.submit("1-2", retries=1)).id
    runner = await parts.hello(job)
    first = await parts.granted(runner)
    second = await parts.lease(runner, 1, completions=(done(first, 1),))
    assert [lease.task for lease in second.leases] == [2]
    idle = asyncio.create_task(parts.lease(runner, 1, completions=(done(second.leases[0]),)))
    assert (await idle).leases == ()
    waiting = asyncio.create_task(parts.lease(runner, 1))
    assert not await finished(waiting)
    parts.clock.pass_(1.0)
    [again] = (await asyncio.wait_for(waiting, 5)).leases  # nobody had to tell it
    assert (again.task, again.attempt) == (1, 2)


async def test_a_task_that_was_tried_before_is_leased_alone(parts):
    job, runner = await measured(parts, "1-1000", took=0.01)
    batch = (await parts.lease(runner, 1, ahead=63)).leases
    await parts.store.run(pools.ended, runner, LOST, 1.0)
    other = await parts.hello(job, 1)
    [alone] = (await parts.lease(other, 1, ahead=63)).leases
    assert (alone.task, alone.attempt) == (batch[0].task, 2)


async def test_an_attempt_began_and_ended_when_the_runner_says_and_never_before_it_was_leased(parts):
    job = (await parts.submit("1-2")).id
    runner = await parts.hello(job)
    one, two = (await parts.lease(runner, 2)).leases
    leased = parts.clock.now()
    parts.clock.pass_(10.0)
    told = (replace(done(one), took=3.0, age=2.0), replace(done(two), took=300.0, age=1.0))
    await parts.lease(runner, completions=told)
    times = [(await parts.store.run(tasks.get, job, index)).attempts[0] for index in (1, 2)]
    assert [(one.started - leased, one.ended - leased) for one in times] == [(5.0, 8.0), (0.0, 9.0)]


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
    desk = Desk(parts.store, parts.hub, parts.clock, parts.logs, poll=0.6)
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


async def printed(parts, job: str) -> list[tuple[int, bytes]]:
    chunks = [chunk async for chunk in parts.logs.read(job)]
    return [(frame.task, frame.data) for frame in decode_frames(chunks)]


def ended(lease: Lease, words: bytes) -> Completion:
    output = Frame(Stream.STDOUT, lease.attempt, lease.task, 0, 0, words).encode()
    return Completion(token=lease.token, outcome=Outcome(exit_status=0), output=output)


async def test_what_an_attempt_printed_last_comes_with_its_end_once(parts):
    job = (await parts.submit()).id
    runner = await parts.hello(job)
    told = ended(await parts.granted(runner), b"42\n")
    for _ in range(2):
        assert (await parts.lease(runner, completions=(told,))).settled == (told.token,)
    assert await printed(parts, job) == [(1, b"42\n")]


async def test_an_end_whose_last_output_finds_no_space_is_not_counted_and_holds_up_no_other(
    parts, monkeypatch
):
    """Whoever hears that a task has ended can read all of its output."""
    monkeypatch.setattr("offload.launcher.desk._LOOK_AGAIN", 0.02)
    job = (await parts.submit("1-3")).id
    runner = await parts.hello(job)
    first, second = (await parts.lease(runner, 2)).leases
    loud, quiet = ended(first, b"42\n"), done(second)

    def full(*_: object) -> None:
        raise DiskFullError("There is no space.", next_step="Free some.")

    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "_write", full)
        told = await parts.lease(runner, 2, completions=(loud, quiet))
        assert (told.settled, told.leases, told.orders) == ((quiet.token,), (), ())
        parts.clock.pass_(59.0)
        assert await parts.lease(runner, 2, completions=(loud,)) == LeaseResponse()
    parts.clock.pass_(2.0)
    assert await parts.expiry.check() == []
    assert (await parts.job(job)).counts == Counts(pending=1, running=1, succeeded=1)
    told = await parts.lease(runner, 2, completions=(loud,))
    assert (told.settled, [lease.task for lease in told.leases]) == ((loud.token,), [3])
    assert await printed(parts, job) == [(1, b"42\n")]


async def test_nobody_prints_for_a_lease_of_another_runner(parts):
    job = (await parts.submit("1-2")).id
    first, second = await parts.hello(job, 0), await parts.hello(job, 1)
    lease = await parts.granted(first)
    await parts.lease(second, completions=(ended(lease, b"I know better"),))
    assert await printed(parts, job) == []


async def test_what_is_no_output_of_the_attempt_is_refused(parts):
    runner = await parts.hello((await parts.submit("1-2")).id)
    lease = await parts.granted(runner)
    told = ended(replace(lease, task=2), b"another task")
    with pytest.raises(ProtocolError, match="another attempt"):
        await parts.lease(runner, completions=(told,))
