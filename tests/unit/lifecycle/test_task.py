"""What becomes of a task, case by case."""

from __future__ import annotations

import pytest

from offload.lifecycle.task import (
    CANCELLED_BEFORE_START,
    MAX_LOST,
    CancelRequested,
    Completed,
    Granted,
    Lost,
    Refused,
    TaskFacts,
    Wish,
    decide,
)
from offload.model.outcome import Outcome
from offload.model.reasons import NOT_CHARGED, OWN_DOING, Reason, ReasonCode
from offload.model.states import AttemptState, State, Target

RUNNING = TaskFacts(state=State.RUNNING, attempts=1, token="t")
CANCEL = CancelRequested(CANCELLED_BEFORE_START)
DONE = Wish()
CANCELLED = Wish(target=Target.CANCELLED)
PAUSED = Wish(target=Target.PAUSED)
GONE = Reason(code=ReasonCode.RUNNER_LOST, sentence="The runner is gone.")


def ended(status: int | None, code: ReasonCode | None = None) -> Completed:
    reason = None if code is None else Reason(code=code, sentence="Said by the runner.")
    return Completed("t", Outcome(exit_status=status, reason=reason))


@pytest.mark.parametrize(
    ("event", "wish", "state", "attempt"),
    [
        (ended(0), DONE, State.SUCCEEDED, AttemptState.SUCCEEDED),
        (ended(0), CANCELLED, State.SUCCEEDED, AttemptState.SUCCEEDED),
        (ended(3), DONE, State.FAILED, AttemptState.FAILED),
        (ended(3), Wish(retries=1), State.PENDING, AttemptState.FAILED),
        (ended(143), CANCELLED, State.CANCELLED, AttemptState.CANCELLED),
        (ended(143, ReasonCode.CANCELLED), DONE, State.CANCELLED, AttemptState.CANCELLED),
        (ended(137, ReasonCode.OUT_OF_MEMORY), DONE, State.FAILED, AttemptState.FAILED),
        (ended(0, ReasonCode.RESULTS_LOST), DONE, State.FAILED, AttemptState.FAILED),
        (ended(None), DONE, State.FAILED, AttemptState.FAILED),
        (Lost("t", GONE), DONE, State.PENDING, AttemptState.LOST),
        (Lost("t", GONE), CANCELLED, State.CANCELLED, AttemptState.LOST),
    ],
)
def test_an_end_becomes(event, wish, state, attempt):
    decision = decide(RUNNING, wish, event)
    assert (decision.task.state, decision.attempt, decision.task.token) == (state, attempt, None)


@pytest.mark.parametrize("code", sorted(NOT_CHARGED))
def test_a_loss_that_is_no_fault_of_the_task_is_not_charged(code):
    decision = decide(RUNNING, DONE, ended(None, code))
    assert (decision.task.state, decision.task.charged, decision.attempt) == (
        State.PENDING,
        0,
        AttemptState.LOST,
    )


@pytest.mark.parametrize("code", sorted(OWN_DOING))
def test_a_task_that_took_its_runner_down_has_failed_and_is_charged(code):
    reason = Reason(code=code, sentence="The container was ended.")
    decision = decide(RUNNING, DONE, Lost("t", reason))
    assert (decision.task.state, decision.task.charged, decision.attempt) == (
        State.FAILED,
        1,
        AttemptState.FAILED,
    )
    assert decision.reason == reason
    retried = decide(RUNNING, Wish(retries=1), Lost("t", reason))
    assert (retried.task.state, retried.task.lost) == (State.PENDING, 0)
    assert decide(RUNNING, CANCELLED, Lost("t", reason)).task.state is State.CANCELLED


def test_a_task_that_always_takes_its_runner_down_fails_in_the_end():
    facts = TaskFacts(state=State.RUNNING, lost=MAX_LOST - 1, token="t")
    decision = decide(facts, DONE, Lost("t", GONE))
    assert decision.task.state is State.FAILED
    assert "20 times" in decision.reason.sentence
    assert decision.reason.words == GONE.sentence


@pytest.mark.parametrize("event", [ended(0), Lost("other", GONE)])
def test_what_speaks_for_another_lease_is_void(event):
    other = TaskFacts(state=State.RUNNING, attempts=2, token="newer")
    assert decide(other, DONE, event) is None


@pytest.mark.parametrize("state", [s for s in State if s.is_terminal])
@pytest.mark.parametrize("event", [Granted("t"), ended(0), Lost("t", GONE), CANCEL, Refused(GONE)])
def test_terminal_is_terminal(state, event):
    assert decide(TaskFacts(state=state), DONE, event) is None


def test_only_a_pending_task_of_a_wanted_job_is_granted():
    assert decide(RUNNING, DONE, Granted("u")) is None
    assert decide(TaskFacts(), CANCELLED, Granted("u")) is None
    granted = decide(TaskFacts(attempts=1), DONE, Granted("u")).task
    assert (granted.state, granted.attempts, granted.token) == (State.RUNNING, 2, "u")


def test_cancelling_and_refusing_end_only_what_has_not_begun():
    assert decide(TaskFacts(), CANCELLED, CANCEL).task.state is State.CANCELLED
    refused = decide(TaskFacts(), DONE, Refused(GONE))
    assert (refused.task.state, refused.reason) == (State.FAILED, GONE)
    assert decide(RUNNING, CANCELLED, CANCEL) is None
    assert decide(RUNNING, DONE, Refused(GONE)) is None


def test_an_end_without_a_reason_gets_one_that_tells_the_status():
    decision = decide(RUNNING, DONE, ended(3))
    assert (decision.reason.code, "status 3" in decision.reason.sentence) == (ReasonCode.EXIT, True)
    assert decide(RUNNING, DONE, ended(None)).reason.code is ReasonCode.UNKNOWN


def test_a_pause_only_keeps_tasks_from_beginning():
    assert decide(TaskFacts(), PAUSED, Granted("t")) is None
    once_more = Wish(target=Target.PAUSED, retries=1)
    memory = Reason(code=ReasonCode.OUT_OF_MEMORY, sentence="Too much.")
    for event in (ended(0), ended(1), Lost("t", GONE), Lost("t", memory)):
        for paused, wanted in ((PAUSED, DONE), (once_more, Wish(retries=1))):
            assert decide(RUNNING, paused, event) == decide(RUNNING, wanted, event)
