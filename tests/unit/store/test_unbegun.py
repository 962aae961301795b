"""Tasks that have not begun have no rows, look as if they had, and end all at once."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from fakes.submitted import submit
from offload.errors import TaskNotFoundError
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested, Refused
from offload.model.array import Array
from offload.model.ids import pool_id, runner_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.store import events, facts, grants, jobs, leases, tasks
from offload.store.schema import tasks as table
from offload.wire.runner_protocol import Completion, LeaseRequest

MILLION = "1-1000000"
REFUSED = Reason(code=ReasonCode.REFUSED, sentence="Never.")


def grant(store, job: str, slots: int = 1, number: int = 0):
    runner = runner_id(pool_id(job), number)
    return store.run_now(grants.grant, runner, slots=slots, known=(), now=2.0, ttl=60.0)


def finish(store, job: str, lease, status: int = 0, number: int = 0) -> None:
    done = [Completion(token=lease.token, outcome=Outcome(exit_status=status))]
    store.run_now(tasks.settle, runner_id(pool_id(job), number), done, 3.0)


def rows(store) -> int:
    return store.run_now(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar()
    )


def indices(page) -> list[int]:
    return [task.index for task in page.tasks]


def test_a_million_tasks_are_no_rows_until_they_begin(store):
    job = submit(store, MILLION)
    assert rows(store) == 0
    assert store.run_now(jobs.get, job).counts.pending == 1_000_000
    assert [lease.task for lease in grant(store, job, 3)] == [1, 2, 3]
    assert rows(store) == 3
    counts = store.run_now(jobs.get, job).counts
    assert (counts.pending, counts.running) == (999_997, 3)


def test_pages_show_all_of_them_in_order_of_their_indices(store):
    job = submit(store, "30-39,1-20:2")
    first = grant(store, job, 2)
    assert [lease.task for lease in first] == [30, 31]
    finish(store, job, first[0])
    found, after = [], None
    while True:
        page = store.run_now(tasks.page, job, after=after, limit=3)
        found += indices(page)
        if (after := page.next) is None:
            break
    assert found == [*range(1, 20, 2), *range(30, 40)]
    assert indices(store.run_now(tasks.page, job, state=State.SUCCEEDED)) == [30]
    assert indices(store.run_now(tasks.page, job, state=State.RUNNING)) == [31]
    assert indices(store.run_now(tasks.page, job, state=State.PENDING, after=20, limit=2)) == [32, 33]
    assert store.run_now(tasks.page, job, state=State.FAILED).tasks == ()


def test_one_that_has_not_begun_is_shown_and_one_that_does_not_exist_is_not(store):
    job = submit(store, MILLION)
    task = store.run_now(tasks.get, job, 999_999)
    assert (task.index, task.state, task.attempts) == (999_999, State.PENDING, ())
    with pytest.raises(TaskNotFoundError):
        store.run_now(tasks.get, job, 1_000_001)


@pytest.mark.parametrize(("reason", "state"), [(None, State.CANCELLED), (REFUSED, State.FAILED)])
def test_all_that_have_not_begun_end_with_one_event(store, reason, state):
    job = submit(store, MILLION)
    (lease,) = grant(store, job)
    finish(store, job, lease)
    if reason is None:
        store.run_now(jobs.request_cancel, job, 4.0)
    event = Refused(reason) if reason else CancelRequested(CANCELLED_BEFORE_START)
    assert store.run_now(tasks.end_pending, job, event, 5.0) == 999_999
    assert rows(store) == 1
    view = store.run_now(jobs.get, job)
    assert (view.state, view.counts.succeeded, view.counts.pending) == (state, 1, 0)
    told = [event for event in store.run_now(events.read, job=job) if event.kind == "tasks_ended"]
    assert [event.data["count"] for event in told] == [999_999]
    task = store.run_now(tasks.get, job, 500_000)
    assert (task.state, task.reason is not None) == (state, True)
    assert grant(store, job, 5) == []
    assert indices(store.run_now(tasks.page, job, state=state, limit=2)) == [2, 3]


def test_one_that_is_tried_again_comes_before_those_that_have_not_begun(store):
    job = submit(store, MILLION)
    grant(store, job, 2)
    lost = Reason(code=ReasonCode.RUNNER_LOST, sentence="Gone.")
    assert store.run_now(tasks.lose, runner_id(pool_id(job), 0), lost, 3.0) == 2
    assert [(lease.task, lease.attempt) for lease in grant(store, job, 3, 1)] == [(1, 2), (2, 2), (3, 1)]


def test_a_job_ends_with_its_last_task(store):
    job = submit(store, "1-3")
    for lease in grant(store, job, 3):
        finish(store, job, lease, status=lease.task - 1)
    view = store.run_now(jobs.get, job)
    assert (view.state, view.exit_status) == (State.FAILED, 1)
    assert list(Array(((1, 3, 1),))) == [1, 2, 3]


def call(store, job: str, lease, *, slots: int):
    """The lease call of a runner whose task has ended well, and that has so many slots from now on."""
    done = Completion(token=lease.token, outcome=Outcome(exit_status=0))
    request = LeaseRequest(runner=runner_id(pool_id(job), 0), free_slots=slots, completions=(done,))
    return store.run_now(leases.exchange, request, 3.0, 60.0)


def test_who_waits_for_room_is_told_when_a_runner_makes_it_and_goes(store):
    job = submit(store, "1-10", max_running=1)
    (lease,) = grant(store, job)
    assert grant(store, job, 1, 1) == []
    assert call(store, job, lease, slots=0).concerns_others
    (lease,) = grant(store, job)
    told = call(store, job, lease, slots=1)
    assert (len(told.response.leases), told.concerns_others) == (1, False)


def test_no_more_tasks_run_at_a_time_than_the_job_lets(store):
    job = submit(store, "1-10", max_running=3)
    first = grant(store, job, 2)
    second = grant(store, job, 5, 1)
    assert [lease.task for lease in first + second] == [1, 2, 3]
    assert grant(store, job, 5, 2) == []
    finish(store, job, first[0])
    assert [lease.task for lease in grant(store, job, 5, 2)] == [4]
    assert store.run_now(facts.of_job, job)[3][0].max_running == 3
