"""Any interleaving of what runners, people and backends do, on the real store.

A model beside the store remembers what must hold: a task reaches one terminal state and keeps it, no task is
lost, every completion counts once and only while its lease is held, the job's counters add up, a task that
ran out of memory runs in the next size and nowhere else, and a paused job begins nothing.

Ids and lease tokens are drawn from a seed. The pause before a retry follows from the token, and the same
steps must mean the same history, or a failure isn't found again.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fakes.submitted import submit
from offload.errors import LeaseLostError, PoolReleasedError
from offload.lifecycle.job import GiveUp, plan_all
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested, Refused
from offload.model.ids import pool_id, pool_of_runner, runner_id, size_of_pool
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources
from offload.model.states import State, Target
from offload.store import events, facts, grants, jobs, pausing, pools, tasks
from offload.store.engine import Store
from offload.wire.runner_protocol import Completion

RUNNERS = st.tuples(st.integers(0, 2), st.integers(0, 2))
"""Size and number of a runner."""
FULL = Reason(code=ReasonCode.OUT_OF_MEMORY, sentence="Too much.")
OUTCOMES = st.sampled_from(
    [
        Outcome(exit_status=0),
        Outcome(exit_status=1),
        Outcome(exit_status=None),
        Outcome(exit_status=143, reason=Reason(code=ReasonCode.CANCELLED, sentence="Cancelled.")),
        Outcome(exit_status=None, reason=Reason(code=ReasonCode.EVICTED, sentence="Evicted.")),
        Outcome(exit_status=0, reason=Reason(code=ReasonCode.RESULTS_LOST, sentence="No space.")),
        Outcome(exit_status=137, reason=FULL),
    ]
)
GONE = Reason(code=ReasonCode.RUNNER_LOST, sentence="Gone.")
ALIKE = Reason(code=ReasonCode.FAILED_ALIKE, sentence="Alike.")


def holds(connection, token):
    try:
        tasks.attempt_held(connection, token)
    except LeaseLostError:
        return False
    return True


def is_full(attempt):
    return attempt.state == "failed" and attempt.reason.code is ReasonCode.OUT_OF_MEMORY


class Interleavings(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        chance = random.Random(0)
        self.seeded = mock.patch.multiple(
            "secrets", choice=chance.choice, token_urlsafe=lambda size: chance.randbytes(size).hex()
        )
        self.seeded.start()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store.open(f"sqlite:///{Path(self.directory.name)}/store.sqlite")
        self.now = 1.0
        self.given: dict[str, tuple[int, tuple[int, int]]] = {}
        self.ended: dict[int, State] = {}
        self.begun_when_paused: int | None = None

    def teardown(self):
        self.seeded.stop()
        self.store.close()
        self.directory.cleanup()

    def do(self, work, *args, **kwargs):
        self.now += 1.0
        return self.store.run_now(work, *args, **kwargs)

    def told(self, kind):
        return [event for event in self.do(events.read, job=self.job) if event.kind == kind]

    def runner(self, which):
        size, number = which
        return runner_id(pool_id(self.job, size), number)

    @initialize(
        tasks=st.integers(1, 4),
        retries=st.integers(0, 2),
        fail_fast=st.none() | st.integers(1, 2),
        max_running=st.none() | st.integers(1, 2),
    )
    def submit(self, tasks, **limits):
        memory = {"resources": Resources(memory=100 << 20), "memory_limit": 200 << 20}
        self.job = submit(self.store, f"1-{tasks}", **limits, **memory)
        self.tasks, self.limits = tasks, limits

    @rule(number=RUNNERS, slots=st.integers(1, 2), forgetful=st.booleans())
    def lease(self, number, slots, forgetful):
        known = () if forgetful else tuple(self.given)
        for lease in self.do(
            grants.grant, self.runner(number), slots=slots, known=known, now=self.now, ttl=60.0
        ):
            assert lease.task not in self.ended
            assert self.given.setdefault(lease.token, (lease.task, number)) == (lease.task, number)

    @rule(data=st.data(), outcome=OUTCOMES, number=st.none() | RUNNERS, twice=st.booleans())
    def complete(self, data, outcome, number, twice):
        if not self.given:
            return
        token = list(self.given)[data.draw(st.integers(0, len(self.given) - 1))]
        task, holder = self.given[token]
        speaker = self.runner(holder if number is None else number)
        held = self.do(holds, token) and speaker == self.runner(holder)
        before = self.do(tasks.get, self.job, task)
        for _ in range(1 + twice):
            assert self.do(tasks.settle, speaker, [Completion(token=token, outcome=outcome)], self.now) == [
                token
            ]
        after = self.do(tasks.get, self.job, task)
        assert held or before == after
        assert not self.do(holds, token) or not held

    @rule(data=st.data())
    def give_back(self, data):
        """The runner swears that it hasn't begun, so it says so before anything else about the lease."""
        held = [token for token in self.given if self.do(holds, token)]
        if not held:
            return
        token = data.draw(st.sampled_from(held))
        task, holder = self.given[token]
        before = self.do(tasks.get, self.job, task)
        assert self.do(tasks.settle, self.runner(holder), [], self.now, [token]) == [token]
        after = self.do(tasks.get, self.job, task)
        assert (after.state, after.attempts) == (State.PENDING, before.attempts[:-1])

    @rule(number=RUNNERS, reason=st.sampled_from([GONE, FULL]))
    def runner_gone(self, number, reason):
        self.do(pools.ended, self.runner(number), reason, self.now)

    @rule(number=RUNNERS)
    def runner_speaks(self, number):
        try:
            self.do(pools.hello, self.runner(number), self.now)
        except PoolReleasedError:
            return
        assert not self.do(jobs.get, self.job).state.is_terminal

    @rule(by_breaker=st.booleans())
    def pause(self, by_breaker):
        before = self.do(jobs.get, self.job)
        tripped = any(event.data["reason"]["code"] == "failed_alike" for event in self.told("paused"))
        if by_breaker:
            self.do(pausing.trip, self.job, ALIKE, self.now)
        else:
            self.do(pausing.request_pause, self.job, "ada", self.now)
        after = self.do(jobs.get, self.job)
        free = before.target is Target.DONE and not before.state.is_terminal
        moves = free and not (by_breaker and (tripped or before.counts.succeeded))
        assert after.target is (Target.PAUSED if moves else before.target)

    @rule()
    def resume(self):
        before = self.do(jobs.get, self.job)
        after = self.do(pausing.request_resume, self.job, "ada", self.now)
        assert after.target is (Target.DONE if before.is_paused else before.target)
        self.begun_when_paused = None

    @rule()
    def cancel(self):
        self.do(jobs.request_cancel, self.job, self.now)

    @rule()
    def give_up_if_enough_have_failed(self):
        if any(isinstance(step, GiveUp) for _, step in plan_all(*self.do(facts.of_job, self.job))):
            self.do(jobs.give_up, self.job, self.now)

    @rule(refused=st.booleans(), size=st.integers(0, 2))
    def end_what_waits(self, refused, size):
        cancelled = self.do(jobs.get, self.job).target == "cancelled"
        if refused or cancelled:
            event = Refused(GONE) if refused else CancelRequested(CANCELLED_BEFORE_START)
            self.do(tasks.end_pending, self.job, event, self.now, size=size)

    @invariant()
    def terminal_is_terminal_and_nothing_is_lost(self):
        if not hasattr(self, "job"):
            return
        found = {task.index: task for task in self.do(tasks.page, self.job).tasks}
        assert sorted(found) == list(range(1, self.tasks + 1))
        for index, state in self.ended.items():
            assert found[index].state is state
        self.ended = {index: task.state for index, task in found.items() if task.state.is_terminal}
        view = self.do(jobs.get, self.job)
        for state in State:
            assert getattr(view.counts, state.value) == sum(t.state is state for t in found.values())
        assert view.state.is_terminal == (len(self.ended) == self.tasks)

    @invariant()
    def limits_are_kept(self):
        if not hasattr(self, "job"):
            return
        view = self.do(jobs.get, self.job)
        assert view.counts.running <= (self.limits["max_running"] or self.tasks)
        if view.state.is_terminal and view.counts.failed >= (self.limits["fail_fast"] or self.tasks + 1):
            assert view.state is State.FAILED

    @invariant()
    def a_task_runs_in_the_size_that_it_needs(self):
        if not hasattr(self, "job"):
            return
        found = self.do(tasks.page, self.job).tasks
        left = Counter()
        for task in found:
            ran_out = [attempt for attempt in task.attempts if is_full(attempt)]
            sizes = [size_of_pool(pool_of_runner(attempt.runner)) for attempt in task.attempts]
            needed = min(len(ran_out), 2)
            assert sizes == sorted(sizes)
            assert set(range(needed)) <= set(sizes) <= set(range(needed + 1))
            left[needed, task.state] += 1
        _, _, _, known = self.do(facts.of_job, self.job)
        for pool in known:
            assert pool.pending == left[pool.size, State.PENDING]
            assert pool.running == left[pool.size, State.RUNNING]
        assert {size for size, _ in left} <= {pool.size for pool in known}
        listed = self.do(jobs.page).jobs
        assert [job.id for job in listed] == self.do(jobs.unfinished) == [self.job]

    @invariant()
    def a_paused_job_begins_nothing_and_says_why(self):
        if not hasattr(self, "job"):
            return
        view = self.do(jobs.get, self.job)
        found = self.do(tasks.page, self.job).tasks
        begun = sum(len(task.attempts) for task in found)
        if not view.is_paused:
            self.begun_when_paused = None
            return
        assert not view.state.is_terminal
        waiting = {task.reason for task in found if task.state is State.PENDING}
        assert waiting <= {view.reason}
        assert view.reason.code in (ReasonCode.PAUSED, ReasonCode.FAILED_ALIKE)
        assert self.begun_when_paused is None or begun <= self.begun_when_paused
        self.begun_when_paused = begun

    @invariant()
    def every_end_was_told_once(self):
        if not hasattr(self, "job"):
            return
        heard = self.do(events.read, job=self.job)
        told = [event.task for event in heard if event.kind == "task_ended"]
        rest = sum(event.data["count"] for event in heard if event.kind == "tasks_ended")
        ended = {task.index: task for task in self.do(tasks.page, self.job).tasks if task.state.is_terminal}
        assert len(told) == len(set(told))
        assert len(told) + rest == len(ended)
        # Told together are those that never began.
        assert not any(ended[index].attempts for index in ended.keys() - set(told))

    @invariant()
    def a_running_task_has_exactly_one_running_attempt(self):
        if not hasattr(self, "job"):
            return
        for task in self.do(tasks.page, self.job).tasks:
            running = [attempt for attempt in task.attempts if attempt.state == "running"]
            assert len(running) == (task.state is State.RUNNING)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
