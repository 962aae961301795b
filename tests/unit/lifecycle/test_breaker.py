"""When a job is paused because its tasks fail alike, and what a pause means for the next step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.service import spec
from offload.lifecycle.breaker import may_trip, why_pause
from offload.lifecycle.job import (
    MAX_EARLY_DEATHS,
    CancelPending,
    GiveUp,
    Pause,
    PoolFacts,
    Release,
    Scale,
    job_state,
    plan,
)
from offload.model.counts import Counts
from offload.model.failure import ALIKE, Failure
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State, Target

ENOUGH = Counts(failed=ALIKE, running=2, pending=ALIKE)
PLAIN = spec("1-1000")


def failure(words: str = "", exit_status: int = 1, code: ReasonCode = ReasonCode.EXIT) -> Failure:
    sentence = f"The script ended with exit status {exit_status}."
    return Failure(Reason(code=code, sentence=sentence, words=words), exit_status)


def numbered(count: int = ALIKE) -> list[Failure]:
    return [failure(f"ValueError: seed {n} is no good in /tmp/run-{n}") for n in range(count)]


def test_the_first_tasks_that_fail_alike_but_for_numbers_and_paths_are_a_reason_to_pause():
    why = why_pause(numbered())
    assert why.code is ReasonCode.FAILED_ALIKE
    assert why.sentence.startswith("No task has succeeded, and the first 10 failed alike: The script ended")
    assert why.words == "ValueError: seed 0 is no good in /tmp/run-0"


@pytest.mark.parametrize(
    "odd", [failure("KeyError: 'x'"), failure("ValueError: seed 1 is no good in /tmp/x", 2),
            failure("ValueError: seed 1 is no good in /tmp/x", code=ReasonCode.OUT_OF_MEMORY)]
)  # fmt: skip
def test_one_that_failed_otherwise_is_enough_to_go_on(odd):
    assert why_pause([*numbered(ALIKE - 1), odd]) is None
    assert why_pause(numbered(ALIKE - 1)) is None


def test_it_watches_only_while_nothing_has_succeeded_and_enough_is_left_to_save():
    assert may_trip(Target.DONE, ENOUGH, PLAIN, tripped=False)
    assert not may_trip(Target.DONE, replace(ENOUGH, succeeded=1), PLAIN, tripped=False)
    assert not may_trip(Target.DONE, replace(ENOUGH, failed=ALIKE - 1), PLAIN, tripped=False)
    assert not may_trip(Target.DONE, replace(ENOUGH, pending=ALIKE - 1), PLAIN, tripped=False)


def test_it_asks_once_and_never_whom_said_beforehand_what_failures_mean():
    assert not may_trip(Target.DONE, ENOUGH, PLAIN, tripped=True)
    assert not may_trip(Target.DONE, ENOUGH, replace(PLAIN, keep_going=True), tripped=False)
    assert not may_trip(Target.DONE, ENOUGH, replace(PLAIN, fail_fast=50), tripped=False)
    assert not any(
        may_trip(target, ENOUGH, PLAIN, tripped=False) for target in (Target.PAUSED, Target.CANCELLED)
    )


def test_a_job_whose_tasks_fail_alike_is_paused_before_more_runners_are_wanted():
    facts = PoolFacts(wanted=1, failures=tuple(numbered()))
    step = plan(State.RUNNING, Target.DONE, ENOUGH, facts)
    assert isinstance(step, Pause)
    assert step.reason == why_pause(facts.failures)


def test_a_paused_job_wants_runners_only_for_what_runs():
    counts = Counts(pending=500, running=3, failed=10)
    assert plan(State.RUNNING, Target.PAUSED, counts, PoolFacts(wanted=64)) == Scale(3)
    assert plan(State.RUNNING, Target.PAUSED, counts, PoolFacts(wanted=3)) is None
    assert plan(State.PENDING, Target.PAUSED, Counts(pending=5), PoolFacts()) == Scale(0)


def test_a_pause_ends_nothing_that_waits():
    no = Reason(code=ReasonCode.REFUSED, sentence="No.")
    pool = PoolFacts(wanted=0, refused=no, early_deaths=MAX_EARLY_DEATHS)
    assert plan(State.RUNNING, Target.PAUSED, Counts(pending=5), pool) is None


def test_a_paused_job_is_as_unfinished_as_before():
    assert job_state(Counts(pending=5), Target.PAUSED, started=False) is State.PENDING
    assert job_state(Counts(pending=5, failed=10), Target.PAUSED, started=True) is State.RUNNING
    assert job_state(Counts(failed=2), Target.PAUSED, started=True) is State.FAILED


def test_a_paused_job_gives_up_and_is_cancelled_and_released_like_another():
    counts = Counts(pending=5, failed=2)
    assert plan(State.RUNNING, Target.PAUSED, counts, PoolFacts(wanted=0, fail_fast=2)) == GiveUp()
    assert plan(State.RUNNING, Target.CANCELLED, counts, PoolFacts(wanted=0)) == CancelPending()
    assert plan(State.FAILED, Target.PAUSED, Counts(failed=2), PoolFacts(wanted=0)) == Release()
