"""What becomes of a task, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offload.lifecycle.task import (
    CANCELLED_BEFORE_START,
    MAX_LOST,
    CancelRequested,
    Completed,
    Granted,
    Lost,
    Refused,
    Returned,
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
        (Returned("t"), DONE, State.PENDING, None),
        (Returned("t"), CANCELLED, State.PENDING, None),
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


GIB = 1 << 30
GROWS = Wish(sizes=(GIB, 3 * GIB // 2, 2 * GIB), memory_limit=2 * GIB)
FULL = Reason(code=ReasonCode.OUT_OF_MEMORY, sentence="Too much. Give it more.", words="OOMKilled")


@pytest.mark.parametrize("event", [ended(137, ReasonCode.OUT_OF_MEMORY), Lost("t", FULL)])
def test_a_task_that_ran_out_of_memory_is_run_again_with_more_and_not_charged(event):
    decision = decide(RUNNING, GROWS, event)
    assert decision.task == TaskFacts(state=State.PENDING, attempts=1, size=1)
    assert decision.attempt is AttemptState.FAILED
    assert decision.reason.code is ReasonCode.OUT_OF_MEMORY
    assert decision.reason.sentence == "It needed more than 1 GiB of memory; it is run again with 1.5 GiB."
    assert decide(RUNNING, CANCELLED, event).task.state is State.CANCELLED


def test_what_the_cluster_said_stays_beside_the_sentence():
    assert decide(RUNNING, GROWS, Lost("t", FULL)).reason.words == "OOMKilled"


def test_a_task_that_needs_more_than_it_can_have_fails_and_is_told_the_limit():
    last = TaskFacts(state=State.RUNNING, attempts=3, size=2, token="t")
    decision = decide(last, GROWS, Lost("t", FULL))
    assert (decision.task.state, decision.task.charged) == (State.FAILED, 1)
    assert decision.reason.sentence == (
        "It needed more than 2 GiB of memory, and a task can have at most 2 GiB here."
    )
    retried = decide(last, Wish(retries=1, sizes=GROWS.sizes, memory_limit=2 * GIB), Lost("t", FULL))
    assert (retried.task.state, retried.task.size) == (State.PENDING, 2)
    unknown = decide(last, Wish(sizes=GROWS.sizes), Lost("t", FULL)).reason.sentence
    assert unknown.endswith("2 GiB of memory, 8 times what was asked. Give it more with `--memory`.")


def test_other_failures_and_losses_leave_a_task_in_its_size():
    facts = TaskFacts(state=State.RUNNING, attempts=2, size=1, token="t")
    for event in (ended(3), Lost("t", GONE)):
        decision = decide(facts, Wish(retries=1, sizes=GROWS.sizes), event)
        assert (decision.task.state, decision.task.size) == (State.PENDING, 1)


def test_a_task_whose_larger_size_is_refused_tells_what_it_needed():
    waits = TaskFacts(attempts=1, size=1)
    no = Reason(code=ReasonCode.UNSCHEDULABLE, sentence="No node is that large.", words="0/3 nodes")
    reason = decide(waits, GROWS, Refused(no)).reason
    assert (reason.code, reason.words) == (ReasonCode.OUT_OF_MEMORY, "0/3 nodes")
    assert reason.sentence == (
        "It needed more than 1 GiB of memory, and no runner with 1.5 GiB is to be had: No node is that large."
    )


def test_a_task_that_always_takes_its_runner_down_fails_in_the_end():
    facts = TaskFacts(state=State.RUNNING, lost=MAX_LOST - 1, token="t")
    decision = decide(facts, DONE, Lost("t", GONE))
    assert decision.task.state is State.FAILED
    assert "20 times" in decision.reason.sentence
    assert decision.reason.words == GONE.sentence


@pytest.mark.parametrize("event", [ended(0), Lost("other", GONE), Returned("other")])
def test_what_speaks_for_another_lease_is_void(event):
    other = TaskFacts(state=State.RUNNING, attempts=2, token="newer")
    assert decide(other, DONE, event) is None


@pytest.mark.parametrize("state", [s for s in State if s.is_terminal])
@pytest.mark.parametrize(
    "event", [Granted("t"), ended(0), Lost("t", GONE), Returned("t"), CANCEL, Refused(GONE)]
)
def test_terminal_is_terminal(state, event):
    assert decide(TaskFacts(state=state), DONE, event) is None


def test_only_a_pending_task_of_a_wanted_job_is_granted():
    assert decide(RUNNING, DONE, Granted("u")) is None
    assert decide(TaskFacts(), CANCELLED, Granted("u")) is None
    granted = decide(TaskFacts(attempts=1), DONE, Granted("u")).task
    assert (granted.state, granted.attempts, granted.token) == (State.RUNNING, 2, "u")


def test_each_try_comes_after_a_pause_about_twice_as_long_and_never_beyond_a_minute():
    wish = Wish(retries=100)
    pauses = [
        decide(replace(RUNNING, charged=failures), wish, ended(1)).pause for failures in (0, 1, 2, 5, 50)
    ]
    for pause, longest in zip(pauses, (1.0, 2.0, 4.0, 32.0, 60.0), strict=True):
        assert longest / 2 <= pause <= longest
    others = {
        decide(replace(RUNNING, token=str(n)), wish, replace(ended(1), token=str(n))).pause for n in range(50)
    }
    assert len(others) > 20


def test_what_is_not_charged_or_not_tried_again_waits_for_nothing():
    assert decide(RUNNING, Wish(retries=1), Lost("t", GONE)).pause == 0.0
    assert decide(RUNNING, DONE, ended(1)).pause == 0.0


def test_a_lease_that_is_given_back_counts_as_never_granted():
    granted = decide(TaskFacts(attempts=1, charged=1), DONE, Granted("t")).task
    assert decide(granted, DONE, Returned("t")).task == TaskFacts(attempts=1, charged=1)


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
