"""What a job is, and which step is due."""

from __future__ import annotations

import pytest

from offload.lifecycle.job import (
    MAX_EARLY_DEATHS,
    MAX_RUNNERS,
    CancelPending,
    FailPending,
    GiveUp,
    PoolFacts,
    Release,
    Scale,
    job_state,
    plan,
    plan_all,
)
from offload.model.counts import Counts
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State, Target

NO = Reason(code=ReasonCode.REFUSED, sentence="No.")


@pytest.mark.parametrize(
    ("counts", "target", "started", "state"),
    [
        (Counts(pending=1), Target.DONE, False, State.PENDING),
        (Counts(pending=1), Target.DONE, True, State.RUNNING),
        (Counts(running=1), Target.CANCELLED, True, State.RUNNING),
        (Counts(succeeded=2), Target.DONE, True, State.SUCCEEDED),
        (Counts(succeeded=2), Target.CANCELLED, True, State.SUCCEEDED),
        (Counts(succeeded=1, failed=1), Target.DONE, True, State.FAILED),
        (Counts(cancelled=1), Target.DONE, True, State.CANCELLED),
        (Counts(cancelled=1, failed=1), Target.CANCELLED, True, State.CANCELLED),
        (Counts(cancelled=1, failed=1), Target.DONE, True, State.FAILED),
    ],
)
def test_a_job_follows_from_its_tasks(counts, target, started, state):
    assert job_state(counts, target, started=started) is state


def test_a_job_that_gave_up_has_failed_though_the_rest_was_cancelled():
    counts = Counts(cancelled=7, failed=3)
    assert job_state(counts, Target.CANCELLED, started=True, fail_fast=3) is State.FAILED
    assert job_state(counts, Target.CANCELLED, started=True, fail_fast=4) is State.CANCELLED
    assert job_state(Counts(succeeded=1), Target.DONE, started=True, fail_fast=1) is State.SUCCEEDED


def test_a_job_gives_up_once_enough_tasks_have_failed():
    facts = PoolFacts(wanted=2, fail_fast=2)
    assert plan(State.RUNNING, Target.DONE, Counts(pending=1, running=1, failed=1), facts) is None
    assert plan(State.RUNNING, Target.DONE, Counts(pending=1, running=1, failed=2), facts) == GiveUp()
    step = plan(State.RUNNING, Target.CANCELLED, Counts(pending=1, running=1, failed=2), facts)
    assert isinstance(step, CancelPending)
    assert "because 2 tasks had failed" in step.reason.sentence
    assert plan(State.FAILED, Target.CANCELLED, Counts(failed=2, cancelled=2), facts) == Release()


def test_a_new_job_is_given_runners_up_to_the_limit():
    assert plan(State.PENDING, Target.DONE, Counts(pending=3), PoolFacts()) == Scale(3)
    many = plan(State.PENDING, Target.DONE, Counts(pending=10**5), PoolFacts())
    assert many == Scale(MAX_RUNNERS)


def test_nothing_is_due_once_the_backend_was_told():
    assert plan(State.RUNNING, Target.DONE, Counts(running=3), PoolFacts(wanted=3)) is None


def test_fewer_runners_are_wanted_as_tasks_end():
    counts = Counts(running=1, succeeded=5)
    assert plan(State.RUNNING, Target.DONE, counts, PoolFacts(wanted=3)) == Scale(1)


def test_a_cancelled_job_ends_what_waits_before_anything_else():
    counts = Counts(pending=2, running=1)
    assert plan(State.RUNNING, Target.CANCELLED, counts, PoolFacts(refused=NO)) == CancelPending()


def test_a_refused_pool_fails_what_waits():
    step = plan(State.PENDING, Target.DONE, Counts(pending=2), PoolFacts(refused=NO))
    assert step == FailPending(NO)


def test_runners_that_never_survive_fail_what_waits_and_tell_their_last_words():
    pool = PoolFacts(early_deaths=MAX_EARLY_DEATHS, last_words="exec format error")
    step = plan(State.PENDING, Target.DONE, Counts(pending=2), pool)
    assert step.reason.code is ReasonCode.RUNNER_LOST
    assert step.reason.words == "exec format error"


def test_a_finished_job_lets_go_of_its_pool_once():
    counts = Counts(succeeded=1)
    assert plan(State.SUCCEEDED, Target.DONE, counts, PoolFacts(wanted=1)) == Release()
    assert plan(State.SUCCEEDED, Target.DONE, counts, PoolFacts(released=True)) is None


@pytest.mark.parametrize(("limit", "wanted"), [(3, 3), (200, 200), (None, MAX_RUNNERS)])
def test_a_job_may_say_how_many_of_its_tasks_run_at_a_time(limit, wanted):
    counts = Counts(pending=900, running=100)
    assert plan(State.RUNNING, Target.DONE, counts, PoolFacts(max_running=limit)) == Scale(wanted)


def test_every_pool_has_a_step_of_its_own():
    counts = Counts(pending=3, running=4, succeeded=1)
    facts = [
        PoolFacts(size=0, pending=2, running=3, wanted=6),
        PoolFacts(size=1, pending=1, running=0, refused=NO),
        PoolFacts(size=2, pending=0, running=1, wanted=1),
    ]
    assert list(plan_all(State.RUNNING, Target.DONE, counts, facts)) == [(0, Scale(5)), (1, FailPending(NO))]
    cancelled = dict(plan_all(State.RUNNING, Target.CANCELLED, counts, facts))
    assert cancelled == {0: CancelPending(), 1: CancelPending()}


def test_a_pool_that_has_no_task_left_wants_no_runner():
    facts = [PoolFacts(size=0, wanted=1), PoolFacts(size=1, pending=1)]
    assert dict(plan_all(State.RUNNING, Target.DONE, Counts(pending=1), facts)) == {0: Scale(0), 1: Scale(1)}


def test_all_pools_share_what_may_run_at_a_time_and_the_smaller_size_comes_first():
    counts = Counts(pending=7, running=1)
    facts = [
        PoolFacts(size=0, pending=1, running=1, max_running=4),
        PoolFacts(size=1, pending=5, max_running=4),
        PoolFacts(size=2, pending=1, max_running=4),
    ]
    assert dict(plan_all(State.RUNNING, Target.DONE, counts, facts)) == {
        0: Scale(2),
        1: Scale(2),
        2: Scale(0),
    }


def test_every_pool_of_a_finished_job_is_let_go_of():
    facts = [PoolFacts(size=0, released=True), PoolFacts(size=1)]
    assert dict(plan_all(State.SUCCEEDED, Target.DONE, Counts(succeeded=1), facts)) == {1: Release()}
