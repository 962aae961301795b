"""Tasks that ran out of memory: the sizes of their runners, and what is counted and shown of them."""

from __future__ import annotations

import threading

from fakes.submitted import submit
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested, Refused
from offload.model.ids import pool_id, runner_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources
from offload.model.states import State
from offload.model.use import Use
from offload.store import events, facts, grants, jobs, leases, pools, tasks, usage
from offload.wire.runner_protocol import Completion, LeaseRequest, OrderKind

MIB = 1 << 20
FULL = Reason(code=ReasonCode.OUT_OF_MEMORY, sentence="Too much.")
NO = Reason(code=ReasonCode.REFUSED, sentence="The quota is used up.", words="quota")
WAITS = Reason(code=ReasonCode.WAITING_FOR_CAPACITY, sentence="No room.")
RAN_OUT = Outcome(exit_status=137, reason=FULL, use=Use(wall=1.0, peak_memory=110 * MIB))
DONE = Outcome(exit_status=0, use=Use(wall=1.0, peak_memory=120 * MIB))


def submit_growing(store, array, **more):
    return submit(store, array, resources=Resources(memory=100 * MIB), memory_limit=200 * MIB, **more)


def grant(store, job, slots=1, *, size=0, number=0):
    runner = runner_id(pool_id(job, size), number)
    return store.run_now(grants.grant, runner, slots=slots, known=(), now=2.0, ttl=60.0)


def end(store, job, lease, outcome, *, size=0, number=0):
    runner = runner_id(pool_id(job, size), number)
    store.run_now(tasks.settle, runner, [Completion(token=lease.token, outcome=outcome)], 3.0)


def let_run_out(store, job, count=1, *, size=0):
    for _ in range(count):
        (lease,) = grant(store, job, size=size)
        end(store, job, lease, RAN_OUT, size=size)


def left(store, job):
    return {pool.size: (pool.pending, pool.running) for pool in store.run_now(facts.of_job, job)[3]}


def test_a_task_that_ran_out_of_memory_goes_to_the_next_size_and_to_no_other(store):
    job = submit_growing(store, "1-3")
    assert left(store, job) == {0: (3, 0)}
    let_run_out(store, job)
    assert left(store, job) == {0: (2, 0), 1: (1, 0)}
    assert [lease.task for lease in grant(store, job, 5, number=1)] == [2, 3]
    assert grant(store, job, 5, size=2) == []
    (lease,) = grant(store, job, 5, size=1)
    assert (lease.task, lease.attempt) == (1, 2)
    assert left(store, job) == {0: (0, 2), 1: (0, 1)}
    end(store, job, lease, DONE, size=1)
    task = store.run_now(tasks.get, job, 1)
    assert (task.state, [attempt.memory for attempt in task.attempts]) == (
        State.SUCCEEDED,
        [100 * MIB, 150 * MIB],
    )
    assert task.attempts[0].reason.sentence.endswith("it is run again with 150 MiB.")
    assert store.run_now(jobs.get, job).counts.failed == 0


def test_a_task_that_needs_more_than_there_is_fails_and_its_job_tells_the_limit(store):
    job = submit_growing(store, "1", fail_fast=1)
    for size in range(3):
        let_run_out(store, job, size=size)
    view = store.run_now(jobs.get, job)
    assert (view.state, view.exit_status) == (State.FAILED, 137)
    assert (
        view.reason.sentence
        == "It needed more than 200 MiB of memory, and a task can have at most 200 MiB here."
    )
    told = [event.kind for event in store.run_now(events.read, job=job)]
    assert (told.count("attempt_failed"), told.count("task_ended")) == (2, 1)


def test_a_job_with_several_pools_is_listed_once_and_unfinished_until_all_are_released(store):
    job = submit_growing(store, "1")
    let_run_out(store, job)
    (lease,) = grant(store, job, size=1)
    end(store, job, lease, DONE, size=1)
    assert [view.id for view in store.run_now(jobs.page).jobs] == [job]
    for size in (0, 1):
        assert store.run_now(jobs.unfinished) == store.run_now(jobs.unfinished, "local") == [job]
        store.run_now(pools.released, pool_id(job, size))
    assert store.run_now(jobs.unfinished) == []


def test_why_a_pool_waits_is_told_of_its_own_tasks_and_of_the_job_while_none_runs(store):
    job = submit_growing(store, "1-2")
    let_run_out(store, job)
    (lease,) = grant(store, job)
    store.run_now(pools.waits, pool_id(job, 1), WAITS, 4.0)
    assert store.run_now(tasks.get, job, 1).reason == WAITS
    assert store.run_now(jobs.get, job).reason is None
    end(store, job, lease, DONE)
    assert store.run_now(jobs.get, job).reason == store.run_now(jobs.page).jobs[0].reason == WAITS
    store.run_now(pools.hello, runner_id(pool_id(job, 1), 0), 5.0)
    assert store.run_now(jobs.get, job).reason is None


def test_a_size_that_is_refused_fails_its_own_tasks_alone(store):
    job = submit_growing(store, "1-3")
    let_run_out(store, job)
    store.run_now(pools.refuse, pool_id(job, 1), NO)
    assert store.run_now(tasks.end_pending, job, Refused(NO), 4.0, size=1) == 1
    failed, *others = store.run_now(tasks.page, job).tasks
    assert (failed.state, failed.reason.code, failed.reason.words) == (State.FAILED, "out_of_memory", "quota")
    assert "no runner with 150 MiB is to be had: The quota is used up." in failed.reason.sentence
    assert [task.state for task in others] == [State.PENDING] * 2
    cancelled = CancelRequested(CANCELLED_BEFORE_START)
    store.run_now(jobs.request_cancel, job, 5.0)
    assert store.run_now(tasks.end_pending, job, cancelled, 5.0) == 2


def test_no_more_tasks_of_all_sizes_together_run_than_the_job_lets(store):
    job = submit_growing(store, "1-6", max_running=2)
    let_run_out(store, job, 2)
    assert len(grant(store, job, 1, number=1)) == 1
    assert len(grant(store, job, 5, size=1)) == 1
    assert grant(store, job, 5, number=2) == grant(store, job, 5, size=1, number=2) == []


def test_a_runner_is_stopped_once_its_own_size_has_no_work(store):
    job = submit_growing(store, "1")
    let_run_out(store, job)
    for size, wanted in ((0, 0), (1, 1)):
        store.run_now(pools.told, pool_id(job, size), wanted)

    def orders(size):
        request = LeaseRequest(runner=runner_id(pool_id(job, size), 0), free_slots=1)
        return [order.kind for order in store.run_now(leases.exchange, request, 4.0, 60.0).response.orders]

    assert (orders(0), orders(1)) == ([OrderKind.STOP], [])


def test_tasks_that_run_out_at_once_open_one_pool(store):
    job = submit_growing(store, "1-8")
    held = [(grant(store, job, number=number)[0], number) for number in range(8)]
    threads = [
        threading.Thread(target=end, args=(store, job, lease, RAN_OUT), kwargs={"number": number})
        for lease, number in held
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left(store, job) == {0: (0, 0), 1: (8, 0)}


def test_what_would_have_fitted_follows_from_what_each_attempt_had(store):
    job = submit_growing(store, "1-2")
    let_run_out(store, job)
    let_run_out(store, job, size=1)
    found = store.run_now(usage.of_job, job)
    assert found.fits_memory == 256 * MIB  # half as much again as the 150 MiB that weren't enough, in steps
    assert store.run_now(jobs.get, job).spec.resources.memory == 100 * MIB
