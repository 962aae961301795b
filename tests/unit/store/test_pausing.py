"""Paused and resumed jobs, on both stores."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from fakes.submitted import submit
from offload.lifecycle.job import Pause, Scale, plan_all
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested
from offload.model.failure import ALIKE
from offload.model.ids import pool_id, runner_id
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import Stand, State, Target
from offload.store import events, facts, grants, jobs, leases, migrate, pausing, pools, tasks
from offload.store.engine import Store, make_engine
from offload.wire.runner_protocol import Completion, LeaseRequest, OrderKind

WHY = Reason(code=ReasonCode.FAILED_ALIKE, sentence="They failed alike.")


def grant(store, job, slots=1, number=0, now=2.0):
    runner = runner_id(pool_id(job), number)
    return store.run_now(grants.grant, runner, slots=slots, known=(), now=now, ttl=60.0)


def settle(store, job, lease, outcome, number=0):
    completion = Completion(token=lease.token, outcome=outcome)
    store.run_now(tasks.settle, runner_id(pool_id(job), number), [completion], 5.0)


def fail(store, job, count, words="seed {} is no good", exit_status=1):
    """Let the next tasks fail, each in its own words."""
    for lease in grant(store, job, slots=count):
        reason = Reason(code=ReasonCode.EXIT, sentence="It ended badly.", words=words.format(lease.task))
        settle(store, job, lease, Outcome(exit_status=exit_status, reason=reason))


def due(store, job):
    return dict(plan_all(*store.run_now(facts.of_job, job))).get(0)


def kinds(store, job):
    return [told.kind for told in store.run_now(events.read, job=job)]


def listed(store):
    """Stands under which the job is listed."""
    return [stand for stand in Stand if store.run_now(jobs.page, stand=stand).jobs]


def test_a_paused_job_is_listed_as_that_alone_until_it_goes_on_or_ends(store):
    job = submit(store, "1-2")
    assert listed(store) == [Stand.PENDING]
    (lease,) = grant(store, job)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    assert listed(store) == [Stand.PAUSED]
    store.run_now(pausing.request_resume, job, "ada", 3.0)
    assert listed(store) == [Stand.RUNNING]
    store.run_now(pausing.request_pause, job, "ada", 4.0)
    store.run_now(jobs.request_cancel, job, 5.0)
    assert listed(store) == [Stand.RUNNING]
    store.run_now(tasks.end_pending, job, CancelRequested(CANCELLED_BEFORE_START), 6.0)
    settle(store, job, lease, Outcome(exit_status=0))
    assert listed(store) == [Stand.CANCELLED]


def test_a_paused_job_leases_nothing_new_and_a_resumed_one_goes_on(store):
    job = submit(store, "1-3", retries=1)
    (lease,) = grant(store, job)
    view = store.run_now(pausing.request_pause, job, "ada", 3.0)
    assert (view.target, view.state, view.reason.sentence) == (Target.PAUSED, State.RUNNING, "ada paused it.")
    assert grant(store, job, number=1) == []
    settle(store, job, lease, Outcome(exit_status=1))
    assert store.run_now(jobs.get, job).counts.pending == 3
    assert grant(store, job, slots=3, number=1) == []
    view = store.run_now(pausing.request_resume, job, "ben", 6.0)
    assert (view.target, view.reason) == (Target.DONE, None)
    assert len(grant(store, job, slots=3, number=1, now=9.0)) == 3


def test_pausing_and_resuming_twice_changes_and_tells_nothing_more(store):
    job = submit(store, "1-3")
    for _ in range(2):
        store.run_now(pausing.request_pause, job, "ada", 3.0)
        store.run_now(pausing.request_pause, job, "ben", 3.0)
    assert store.run_now(jobs.get, job).reason.sentence == "ada paused it."
    for _ in range(2):
        store.run_now(pausing.request_resume, job, "ben", 4.0)
    assert kinds(store, job) == ["submitted", "paused", "resumed"]
    assert store.run_now(events.read, job=job)[-1].data == {"by": "ben"}


def test_a_lease_whose_answer_was_lost_is_handed_out_again_while_paused(store):
    job = submit(store, "1-3")
    (lease,) = grant(store, job)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    assert [again.token for again in grant(store, job, slots=3)] == [lease.token]


def test_tasks_that_wait_say_that_their_job_is_paused(store):
    job = submit(store, "1-3")
    waiting = Reason(code=ReasonCode.WAITING_FOR_NODE, sentence="A node starts.")
    store.run_now(pools.waits, pool_id(job), waiting, 2.0)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    page = store.run_now(tasks.page, job).tasks
    assert {task.reason.code for task in page} == {ReasonCode.PAUSED}
    assert store.run_now(jobs.page).jobs[0].reason.code is ReasonCode.PAUSED
    store.run_now(pausing.request_resume, job, "ada", 4.0)
    assert store.run_now(jobs.page).jobs[0].reason == waiting


def test_a_paused_job_can_be_cancelled_and_then_not_be_resumed(store):
    job = submit(store, "1-3")
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    view = store.run_now(jobs.request_cancel, job, 4.0)
    assert (view.target, view.reason) == (Target.CANCELLED, None)
    for request in (pausing.request_resume, pausing.request_pause):
        assert store.run_now(request, job, "ada", 5.0).target is Target.CANCELLED
    store.run_now(tasks.end_pending, job, CancelRequested(CANCELLED_BEFORE_START), 6.0)
    view = store.run_now(jobs.get, job)
    assert (view.state, view.reason.code) == (State.CANCELLED, ReasonCode.CANCELLED)
    assert store.run_now(pausing.request_pause, job, "ada", 7.0) == view


def test_a_job_whose_last_tasks_end_while_it_is_paused_has_ended_and_is_paused_no_more(store):
    job = submit(store, "1-2")
    granted = grant(store, job, slots=2)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    for lease in granted:
        settle(store, job, lease, Outcome(exit_status=0))
    view = store.run_now(jobs.get, job)
    assert (view.state, view.target, view.reason) == (State.SUCCEEDED, Target.DONE, None)


def test_runners_of_a_paused_job_that_have_nothing_to_do_are_stopped(store):
    job = submit(store, "1-9")
    pool, one, two = pool_id(job), runner_id(pool_id(job), 0), runner_id(pool_id(job), 1)
    for runner in (one, two):
        store.run_now(pools.hello, runner, 1.0)
    (lease,) = grant(store, job)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    assert due(store, job) == Scale(1)
    store.run_now(pools.told, pool, 1)
    idle = store.run_now(leases.exchange, LeaseRequest(runner=two, free_slots=1), 4.0, 60.0)
    assert [order.kind for order in idle.response.orders] == [OrderKind.STOP]
    working = LeaseRequest(runner=one, free_slots=0, holding=(lease.token,))
    assert store.run_now(leases.exchange, working, 4.0, 60.0).response.orders == ()


def test_runners_that_a_pause_gave_up_are_no_early_deaths(store):
    job = submit(store, "1-100")
    store.run_now(pools.ended, runner_id(pool_id(job), 0), WHY, 2.0)
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    for number in range(1, 9):
        store.run_now(pools.ended, runner_id(pool_id(job), number), WHY, 4.0)
    assert store.run_now(facts.of_job, job)[3][0].early_deaths == 1
    assert kinds(store, job).count("runner_ended") == 1
    store.run_now(pausing.request_resume, job, "ada", 5.0)
    assert store.run_now(facts.of_job, job)[3][0].early_deaths == 0


def test_the_breaker_trips_once_on_tasks_that_failed_alike(store):
    job = submit(store, "1-100")
    fail(store, job, ALIKE - 1)
    assert isinstance(due(store, job), Scale)
    fail(store, job, 1)
    step = due(store, job)
    assert isinstance(step, Pause)
    assert step.reason.words == "seed 1 is no good"
    for _ in range(2):  # a launcher that dies after it takes the step again
        store.run_now(pausing.trip, job, step.reason, 6.0)
    assert store.run_now(jobs.get, job).reason == step.reason
    assert due(store, job) == Scale(0)
    store.run_now(pausing.request_resume, job, "ada", 7.0)
    fail(store, job, ALIKE)
    assert isinstance(due(store, job), Scale)
    store.run_now(pausing.trip, job, step.reason, 8.0)
    assert store.run_now(jobs.get, job).target is Target.DONE
    assert kinds(store, job).count("paused") == 1


@pytest.mark.parametrize("options", [{"keep_going": True}, {"fail_fast": 50}])
def test_the_breaker_leaves_alone_who_said_what_failures_mean(store, options):
    job = submit(store, "1-100", **options)
    fail(store, job, 2 * ALIKE)
    assert isinstance(due(store, job), Scale)


def test_the_breaker_leaves_alone_what_fails_in_several_ways(store):
    job = submit(store, "1-100")
    fail(store, job, ALIKE - 1)
    fail(store, job, ALIKE, words="no such file: {}")
    assert isinstance(due(store, job), Scale)


def test_a_success_that_comes_between_looking_and_pausing_wins(store):
    job = submit(store, "1-100")
    (late,) = grant(store, job, number=1)
    fail(store, job, ALIKE)
    step = due(store, job)
    settle(store, job, late, Outcome(exit_status=0), number=1)
    store.run_now(pausing.trip, job, step.reason, 6.0)
    assert store.run_now(jobs.get, job).target is Target.DONE
    assert isinstance(due(store, job), Scale)


def test_failures_are_read_only_while_the_breaker_may_trip(store):
    asked: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    job = submit(store, "1-100")
    fail(store, job, ALIKE - 1)
    asked.clear()
    store.run_now(facts.of_job, job)
    assert not [text for text in asked if "FROM tasks" in text]
    fail(store, job, 1)
    asked.clear()
    store.run_now(facts.of_job, job)
    (text,) = [text for text in asked if "FROM tasks" in text]
    assert "LIMIT" in text


def test_a_paused_job_of_which_nothing_runs_needs_no_launcher(store):
    job = submit(store, "1-3")
    (lease,) = grant(store, job)
    assert store.run_now(jobs.count_active) == 1
    store.run_now(pausing.request_pause, job, "ada", 3.0)
    assert store.run_now(jobs.count_active) == 1
    settle(store, job, lease, Outcome(exit_status=0))
    assert (store.run_now(jobs.count_active), store.run_now(jobs.count_unfinished)) == (0, 1)
    store.run_now(pausing.request_resume, job, "ada", 6.0)
    assert store.run_now(jobs.count_active) == 1


def test_jobs_of_a_store_from_before_pauses_are_not_paused(store_url):
    engine = make_engine(store_url)
    migrate.migrate(engine, "0004")
    old = (
        "INSERT INTO jobs (id, key, {user}, name, cluster, spec, state, target, pending, running, succeeded,"
        " failed, cancelled, created, results_removed) VALUES ('a2b3c4d', 'k', 'ada', 'x', 'local', '{spec}',"
        " 'pending', 'done', 1, 0, 0, 0, 0, 1.0, {false})"
    )
    spec = '{"command":["true"],"name":"x","cluster":"local","snapshot":"s","home":"file://h/w"}'
    with engine.begin() as connection:
        words = {"user": '"user"', "spec": spec, "false": "false" if "postgres" in store_url else "0"}
        connection.exec_driver_sql(old.format(**words))
        connection.exec_driver_sql(
            f"INSERT INTO pools (id, job, released, early_deaths, last_words) VALUES ('a2b3c4d-0', 'a2b3c4d',"
            f" {words['false']}, 0, '')"
        )
    engine.dispose()
    store = Store.open(store_url)
    view = store.run_now(jobs.get, "a2b3c4d")
    assert (view.target, view.reason, view.spec.keep_going) == (Target.DONE, None, False)
    assert store.run_now(pausing.request_pause, "a2b3c4d", "ada", 2.0).is_paused
    store.close()
