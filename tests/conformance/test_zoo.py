"""The real launcher with backends that break their promises: nothing is lost, doubled or left waiting."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from fakes.backends import (
    ComesBackLate,
    DiesAtStart,
    DiesHalfWay,
    NeverStarts,
    SaysGoneTooEarly,
    SaysRunningTooLong,
)
from fakes.runners import processes_with
from fakes.service import Service, until
from offload.model.reasons import ReasonCode
from offload.model.states import AttemptState, State
from offload.wire.api import TaskPage
from offload.wire.codec import convert

WAITS_FOR = "echo $OFFLOAD_ATTEMPT >> {ledger}; echo attempt $OFFLOAD_ATTEMPT; {wait}; echo made > file"


class Zoo:
    """A launcher whose only cluster is an animal of the zoo."""

    def __init__(self, directory, animal) -> None:
        self.directory = directory
        self.ledger = directory / "ledger"
        self.go = directory / "go"
        self.service = Service(directory / "home", poll=1.0)
        self.service.loader = lambda _, context: animal(context)
        self.service.start()
        self.animal.script_began = lambda: bool(self.begun())

    @property
    def animal(self):
        return self.service.backend()

    def submit(self, wait: str = "", **options):
        """A script that notes that it began; its first attempt waits until the test says ``go``."""
        wait = wait or f"while [ $OFFLOAD_ATTEMPT = 1 -a ! -e {self.go} ]; do sleep 0.02; done"
        text = WAITS_FOR.format(ledger=self.ledger, wait=wait)
        return self.service.submit(command=("sh", "-c", text), **options).id

    def begun(self) -> list[str]:
        return self.ledger.read_text().split() if self.ledger.exists() else []

    def ended(self, job):
        until(lambda: self.service.job(job).state.is_terminal)
        return self.service.job(job)

    def attempts(self, job):
        page = convert(self.service.call("GET", f"/v1/jobs/{job}/tasks"), TaskPage)
        return [attempt for task in page.tasks for attempt in task.attempts]

    def close(self) -> None:
        runners = list(self.animal.runners)
        self.service.stop()
        left = [pid for runner in runners for pid in of_runner(runner.id)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert left == [], "runners or scripts were left"


def of_runner(runner) -> list[int]:
    return processes_with(f"OFFLOAD_RUNNER={runner}") + processes_with(f"OFFLOAD_ATTEMPT_OF={runner}")


@pytest.fixture
def zoo(tmp_path):
    opened = []

    def of(animal) -> Zoo:
        opened.append(Zoo(tmp_path, animal))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


def released(zoo):
    until(lambda: not zoo.animal.runners)


def test_a_job_on_a_cluster_that_never_starts_anything_can_be_cancelled(zoo):
    one = zoo(NeverStarts)
    job = one.submit()
    assert one.service.job(job).state is State.PENDING
    one.service.call("POST", f"/v1/jobs/{job}/cancel")
    assert one.ended(job).state is State.CANCELLED


def test_a_job_whose_runners_all_die_at_their_start_fails_with_the_reason(zoo):
    one = zoo(DiesAtStart)
    job = one.ended(one.submit())
    assert job.state is State.FAILED
    assert job.reason.code is ReasonCode.RUNNER_LOST
    assert "runners in a row ended before they could begin" in job.reason.sentence
    released(one)


def test_a_runner_that_dies_half_way_costs_one_attempt_that_is_not_charged(zoo):
    one = zoo(DiesHalfWay)
    job = one.submit(retries=0)
    assert one.ended(job).state is State.SUCCEEDED
    assert [attempt.state for attempt in one.attempts(job)] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    assert one.begun() == ["1", "2"]
    released(one)


def test_a_runner_that_is_called_gone_while_it_works_counts_for_nothing(zoo):
    one = zoo(SaysGoneTooEarly)
    job = one.submit()
    until(lambda: len(one.begun()) == 2)
    one.go.touch()
    assert one.ended(job).state is State.SUCCEEDED
    assert [attempt.state for attempt in one.attempts(job)] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    released(one)


def test_a_dead_runner_that_is_vouched_for_is_replaced_once_the_truth_is_out(zoo):
    one = zoo(SaysRunningTooLong)
    job = one.submit()
    until(lambda: one.animal.runners and one.animal.runners[0].ended.is_set())
    assert one.service.job(job).state is State.RUNNING
    one.service.run(one.animal.tell_the_truth)
    assert one.ended(job).state is State.SUCCEEDED
    assert [attempt.state for attempt in one.attempts(job)] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    released(one)


def test_a_runner_that_comes_back_late_is_told_to_end_and_not_counted(zoo):
    one = zoo(ComesBackLate)
    job = one.submit(f"while [ ! -e {one.go} ]; do sleep 0.02; done")
    until(lambda: len(one.begun()) == 2)
    one.service.run(one.animal.thaw)
    until(one.animal.runners[0].ended.is_set)
    assert one.service.job(job).state is State.RUNNING
    one.go.touch()
    assert one.ended(job).state is State.SUCCEEDED
    assert [attempt.state for attempt in one.attempts(job)] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    released(one)


def test_a_frozen_runner_holds_up_neither_the_array_nor_its_release(zoo):
    one = zoo(ComesBackLate)
    job = one.submit(array="1-3")
    until(lambda: one.animal.frozen)
    one.go.touch()
    assert one.ended(job).state is State.SUCCEEDED
    assert sorted(attempt.state for attempt in one.attempts(job)) == [
        AttemptState.LOST,
        AttemptState.SUCCEEDED,
        AttemptState.SUCCEEDED,
        AttemptState.SUCCEEDED,
    ]
    released(one)
