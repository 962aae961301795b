"""What a task saves is there for its next attempt, on whatever runner that is."""

from __future__ import annotations

import os
import signal

import pytest

from fakes.trees import settle
from offload.model.reasons import ReasonCode
from offload.runner.work import Workplace
from offload.wire.runner_protocol import OrderKind

SAVE = "mkdir -p $OFFLOAD_CHECKPOINT/deep; echo 7 > $OFFLOAD_CHECKPOINT/deep/n"


@pytest.fixture
def elsewhere(tmp_path):
    """The variable that gives a runner a directory of its own for checkpoints."""
    return {"OFFLOAD_CHECKPOINTS": str(tmp_path / "elsewhere")}


@pytest.fixture
def saved(launcher):
    """The files of the newest checkpoint of a lease."""
    return lambda token="lease-1-1": launcher.results(launcher.saved[token][-1])


@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$", "sleep 60"])
def test_what_an_attempt_saved_is_kept_when_it_is_no_success(launcher, script, run, saved, end):
    script(f"{SAVE}; {end}", time_limit=1.0)
    run()
    assert saved()["deep/n"] == b"7\n"


def test_a_success_needs_no_next_attempt(launcher, script, run):
    script(SAVE)
    run()
    assert launcher.saved == {}


def test_a_cancelled_task_has_no_next_attempt(launcher, script, start):
    script(f"{SAVE}; echo up; sleep 60", grace=0.5)
    token = launcher.add_task()
    start()
    launcher.wait_for(launcher.output)
    launcher.order(OrderKind.CANCEL, token)
    launcher.completion()
    assert launcher.saved == {}


def test_another_runner_finds_what_was_saved(launcher, script, start, elsewhere):
    script(f"{SAVE}; exit 1")
    launcher.add_task()
    runner = start(0)
    launcher.completion()
    runner.kill()
    digest = launcher.saved["lease-1-1"][-1]
    script("cat $OFFLOAD_CHECKPOINT/deep/n")
    launcher.add_task(1, 2, checkpoint=digest)
    start(1, **elsewhere)
    assert launcher.completion("lease-1-2").outcome.exit_status == 0
    assert launcher.output(attempt=2) == b"7\n"


def test_a_directory_that_outlived_the_attempt_is_newer_than_what_was_kept(launcher, script, start, tmp_path):
    script(f"{SAVE}; exit 1")
    launcher.add_task()
    runner = start(0)
    launcher.completion()
    digest = launcher.saved["lease-1-1"][-1]
    runner.kill()
    (tmp_path / "checkpoints" / "1" / "deep" / "n").write_text("8\n")
    script("cat $OFFLOAD_CHECKPOINT/deep/n")
    launcher.add_task(1, 2, checkpoint=digest)
    start(0)
    launcher.completion("lease-1-2")
    assert launcher.output(attempt=2) == b"8\n"


def test_a_runner_that_is_killed_has_kept_what_was_there_before(launcher, script, start, saved):
    script(f"{SAVE}; echo up; sleep 60", checkpoint_every=0.1)
    launcher.add_task()
    runner = start()
    launcher.wait_for(lambda: launcher.saved.get("lease-1-1"))
    runner.kill()
    assert saved() == {"deep": None, "deep/n": b"7\n"}


def test_only_what_changed_is_kept_again(launcher, script, start, tmp_path, saved):
    go = tmp_path / "go"
    script(f"{SAVE}; until [ -e {go} ]; do sleep 0.05; done; echo 9 > $OFFLOAD_CHECKPOINT/deep/n; sleep 60",
           checkpoint_every=0.1)  # fmt: skip
    launcher.add_task()
    start()
    launcher.wait_for(lambda: launcher.saved.get("lease-1-1"))
    seen = launcher.requests.count("POST /checkpoint")
    go.touch()
    launcher.wait_for(lambda: saved().get("deep/n") == b"9\n")
    assert launcher.requests.count("POST /checkpoint") == seen + 1


def test_a_checkpoint_that_can_not_be_kept_is_told_and_harms_nothing(launcher, script, run):
    script(f"{SAVE}; mkfifo $OFFLOAD_CHECKPOINT/pipe; chmod 0 $OFFLOAD_CHECKPOINT; exit 3")
    outcome = run()
    assert outcome.exit_status == 3


def test_a_preemption_on_purpose_interrupts_the_first_attempt_alone(launcher, script, start):
    saves = "trap 'echo saved > $OFFLOAD_CHECKPOINT/n; exit 0' TERM"
    script(f"{saves}; cat $OFFLOAD_CHECKPOINT/n || sleep 60 & wait $!", test_preemption=0.3, grace=5.0)
    launcher.add_task()
    start()
    outcome = launcher.completion().outcome
    assert outcome.reason.code is ReasonCode.PREEMPTED
    assert "--test-preemption" in outcome.reason.sentence
    launcher.add_task(1, 2, checkpoint=launcher.saved["lease-1-1"][-1])
    assert launcher.completion("lease-1-2").outcome.reason is None
    assert launcher.output(attempt=2) == b"saved\n"


def test_an_evicted_runner_keeps_the_checkpoint_before_it_ends(launcher, script, start, saved):
    script("trap 'echo late > $OFFLOAD_CHECKPOINT/n; exit 0' TERM; echo up; sleep 60 & wait $!", grace=5.0)
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    runner.process.send_signal(signal.SIGTERM)
    assert launcher.completion().outcome.reason.code is ReasonCode.EVICTED
    assert saved() == {"n": b"late\n"}


def test_tasks_that_save_nothing_leave_no_directories_and_find_an_empty_one(
    launcher, script, start, tmp_path
):
    script(
        'cd "$OFFLOAD_CHECKPOINT" && stat -c %a . && ls -A && case $OFFLOAD_TASK in '
        "2) echo 1 > kept;; 3) chmod 700 .;; 5) exit 1;; esac"
    )
    for index in range(1, 7):
        launcher.add_task(index)
    start(OFFLOAD_CHECKPOINTS=str(tmp_path / "checkpoints"))
    for index in range(1, 7):
        launcher.completion(f"lease-{index}-1")
        assert launcher.output(task=index) == b"755\n"
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["2", "3", "5"]


def test_a_directory_that_another_runner_was_given_meanwhile_is_not_taken(tmp_path):
    late, other = Workplace(tmp_path / "late"), Workplace(tmp_path / "other")
    (tmp_path / "late").mkdir()
    shared = tmp_path / "checkpoints" / "1"
    late.checkpoint(shared)
    settle(shared.parent)
    other.checkpoint(shared)
    late.spare_checkpoint(shared)
    assert shared.is_dir()


def test_a_link_that_a_task_put_in_place_of_its_directory_is_its_own_alone(launcher, script, start, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    script(
        'cd "$OFFLOAD_CHECKPOINT/.."; if [ $OFFLOAD_TASK$OFFLOAD_ATTEMPT = 11 ]; then rmdir 1; '
        f"ln -s {shared} 1; exit 1; fi; test -L $OFFLOAD_TASK && echo link; exit 0"
    )
    tokens = [launcher.add_task(1), launcher.add_task(1, 2), launcher.add_task(2)]
    start()
    for token in tokens:
        launcher.completion(token)
    assert [launcher.output(task=index, attempt=3 - index) for index in (1, 2)] == [b"link\n", b""]
    assert shared.stat().st_mode & 0o777 == 0o700


def test_a_result_that_could_not_be_removed_is_not_the_next_tasks(tmp_path):
    place = Workplace(tmp_path)
    place.prepare_attempt()
    place.result.write_text("{}")
    place.prepare_attempt()
    assert not place.result.exists()
