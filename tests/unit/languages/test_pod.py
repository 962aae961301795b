"""How the life of a pod's two containers hangs together, and who may be killed when."""

from __future__ import annotations

import signal

import pytest

from fakes.runners import eventually
from offload.model.reasons import ReasonCode
from offload.model.warning import WarningSignal
from offload.wire.runner_protocol import OrderKind

SAVES = "trap 'echo saved > file; exit 7' TERM; echo up; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def begun(launcher, script):
    """Start a task in a pod and wait for its first output: its lease token."""

    def begin(pod, text: str, **settings: object) -> str:
        script(text, **settings)
        token = launcher.add_task()
        pod.start()
        launcher.wait_for(launcher.output)
        return token

    return begin


def test_a_cancel_order_gives_grace_and_brings_home_what_was_made(launcher, begun, any_pod):
    launcher.order(OrderKind.CANCEL, begun(any_pod, SAVES))
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (7, ReasonCode.CANCELLED)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}


def test_what_ignores_sigterm_is_killed_after_its_grace_period(launcher, begun, any_pod):
    launcher.order(OrderKind.CANCEL, begun(any_pod, STUBBORN, grace=0.3))
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (137, ReasonCode.CANCELLED)
    assert any_pod.container.below() == []


def test_a_time_limit_ends_the_script_and_not_the_next_one(launcher, script, any_pod):
    script("test $OFFLOAD_TASK = 2 || exec sleep 60", time_limit=0.5)
    for index in (1, 2):
        launcher.add_task(index)
    any_pod.start()
    outcome = launcher.completion("lease-1-1").outcome
    assert (outcome.exit_status, outcome.reason.code) == (143, ReasonCode.TIMEOUT)
    assert 0.5 <= outcome.use.wall < 20
    assert launcher.completion("lease-2-1").outcome.reason is None


@pytest.mark.parametrize("name", list(WarningSignal))
def test_a_warning_reaches_the_script_alone_and_leaves_it_its_time(launcher, script, run, any_pod, name):
    code = f"sleep 60 & trap 'kill $! && echo goes on > helper; exit 9' {name}; wait"
    script(code, time_limit=60.0, warn={"before": 59.5, "signal": name})
    outcome = run(any_pod)
    assert (outcome.exit_status, outcome.reason.code) == (9, ReasonCode.EXIT)
    assert launcher.results(outcome.results) == {"helper": b"goes on\n"}


def test_a_dropped_lease_ends_the_task_at_once_and_nothing_more_is_said(launcher, begun, any_pod):
    token = begun(any_pod, f"test $OFFLOAD_TASK = 1 || exec echo next; {STUBBORN}", grace=1000.0)
    launcher.order(OrderKind.DROP, token)
    launcher.add_task(2)
    assert launcher.completion("lease-2-1").outcome.reason is None
    assert list(launcher.completions) == ["lease-2-1"]


def test_without_more_work_the_agent_stops_and_then_the_runner_may_be_told_to(launcher, script, run, any_pod):
    script("true")
    run(any_pod)
    launcher.order(OrderKind.STOP)
    assert any_pod.container.wait() == 0
    assert any_pod.runner.process.poll() is None
    any_pod.runner.terminate()
    assert any_pod.runner.wait() == 0


def test_a_released_pool_ends_both(launcher, begun, pod):
    begun(pod, STUBBORN)
    launcher.release()
    assert pod.container.wait() == 0
    pod.runner.terminate()
    assert pod.runner.wait() == 0
    assert launcher.completions == {}


def test_when_the_cluster_ends_the_agent_the_task_has_its_grace_and_is_evicted(launcher, begun, any_pod):
    begun(any_pod, SAVES)
    any_pod.container.signal(signal.SIGTERM)
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (7, ReasonCode.EVICTED)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}
    assert any_pod.container.wait() == 143  # no success, so the cluster makes another pod
    any_pod.runner.terminate()
    any_pod.runner.wait()


def test_an_idle_agent_that_is_told_to_end_does_so(launcher, script, run, any_pod):
    script("true")
    run(any_pod)
    any_pod.container.signal(signal.SIGTERM, times=3)
    assert any_pod.container.wait() == 143


def test_a_pod_that_is_told_to_end_while_a_container_is_missing_ends(launcher, pod):
    runner = pod.start_runner()
    eventually((pod.shared / "control" / "answers").exists)
    launcher.wait_for(lambda: launcher.hellos)
    runner.terminate()
    assert runner.wait() == 0
    assert "POST /lease" not in launcher.requests


def test_no_task_is_leased_before_the_agent_is_there(launcher, script, pod):
    script("echo up")
    launcher.add_task()
    pod.start_runner()
    launcher.wait_for(lambda: f"GET /manifests/{launcher.welcome['snapshot']}" in launcher.requests)
    assert launcher.leased == {}
    pod.start_container()
    assert launcher.completion().outcome.reason is None


def test_an_agent_that_comes_first_waits_for_the_runner(launcher, script, any_pod):
    script("echo up")
    launcher.add_task()
    any_pod.start_container()
    eventually(lambda: any_pod.container.agent)
    any_pod.start_runner()
    assert launcher.completion().outcome.reason is None


def test_kill_9_of_the_agent_reports_no_outcome_but_all_output(launcher, begun, any_pod):
    begun(any_pod, "seq 1 50000; exec sleep 1000")
    launcher.wait_for(lambda: launcher.output().endswith(b"\n50000\n"))
    any_pod.container.signal(signal.SIGKILL)
    eventually(lambda: "The container of the task ended" in any_pod.runner.said())
    assert any_pod.runner.process.poll() is None  # a sidecar that ends is started again
    any_pod.runner.terminate()
    assert any_pod.runner.wait() == 1
    assert launcher.completions == {}
    assert not launcher.pending


def test_kill_9_of_an_idle_agent_ends_the_runners_work(launcher, script, run, pod):
    script("true")
    run(pod)
    pod.container.signal(signal.SIGKILL)
    pod.container.wait()
    launcher.add_task(2)
    pod.runner.terminate()
    pod.runner.wait()
    assert list(launcher.completions) == ["lease-1-1"] or (
        launcher.completions["lease-2-1"].outcome.reason.code is ReasonCode.EVICTED
    )


def test_kill_9_of_the_runner_ends_the_task_and_the_agent(launcher, begun, any_pod):
    begun(any_pod, STUBBORN)
    any_pod.runner.kill()
    assert any_pod.container.wait() == 1
    assert any_pod.runner.tasks() == []


def test_kill_9_of_the_runner_ends_an_idle_agent(launcher, script, run, any_pod):
    script("true")
    run(any_pod)
    any_pod.runner.kill()
    assert any_pod.container.wait() == 1


def test_a_runner_that_is_started_again_never_works_again(launcher, begun, pod):
    begun(pod, STUBBORN)
    pod.runner.kill()
    again = pod.start_runner()
    assert pod.container.wait() == 1
    eventually(lambda: "An earlier runner of this pod died" in again.said())
    assert again.process.poll() is None
    again.terminate()
    assert again.wait() == 1
    assert len(launcher.hellos) == 1


def test_a_runner_that_died_before_the_agent_came_leaves_the_end_to_the_next(launcher, pod):
    first = pod.start_runner()
    launcher.wait_for(lambda: launcher.hellos)
    first.kill()
    pod.start_runner()
    assert pod.start_container().wait() == 1


def test_a_script_that_signals_everything_hurts_only_itself(launcher, script, run, any_pod):
    script("trap '' TERM; kill -TERM -1; echo still here; kill -KILL -1; kill -KILL $$")
    outcome = run(any_pod)
    assert outcome.exit_status == 137
    assert launcher.output() == b"still here\n"
