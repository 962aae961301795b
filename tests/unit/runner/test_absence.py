from __future__ import annotations

import os
import shutil

from fakes.runners import eventually
from offload.wire.frames import Stream
from offload.wire.runner_protocol import OrderKind


def test_a_runner_starts_before_its_launcher_can_be_reached(launcher, script, start):
    script("echo done")
    launcher.add_task()
    launcher.stop()
    start()
    launcher.start()
    assert launcher.completion().outcome.exit_status == 0


def test_a_runner_whose_directory_is_removed_in_the_launchers_absence_ends_with_its_script(
    launcher, script, start
):
    script("echo up; sleep 1000")
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    launcher.stop()
    shutil.rmtree(runner.directory)
    assert runner.wait() == 0
    assert runner.tasks() == []


def test_what_a_task_made_in_the_launchers_absence_arrives_later(launcher, script, start, tmp_path):
    flag = tmp_path / "flag"
    wait = f"while [ ! -e {flag} ]; do sleep 0.02; done"
    script(f"echo before; {wait}; seq 1 1000; echo x > file; touch {flag}2")
    launcher.add_task()
    start()
    launcher.wait_for(launcher.output)
    launcher.stop()
    flag.touch()
    eventually(lambda: os.path.exists(f"{flag}2"))
    launcher.start()
    outcome = launcher.completion().outcome
    assert launcher.output() == b"before\n" + b"".join(b"%d\n" % number for number in range(1, 1001))
    assert launcher.results(outcome.results) == {"file": b"x\n"}


def test_output_is_whole_and_never_doubled_however_often_the_launcher_goes_away(launcher, start):
    launcher.set(command=("sh", "-c", "for i in 1 2 3 4 5 6; do seq 1 20000; sleep 0.1; done"))
    launcher.add_task()
    start()
    for size in (1, 150_000, 300_000, 500_000):
        launcher.wait_for(lambda size=size: len(launcher.output()) >= size)
        launcher.stop()
        launcher.start()
    launcher.completion()
    assert launcher.output() == 6 * b"".join(b"%d\n" % number for number in range(1, 20_001))
    assert [frame.seq for frame in launcher.frames[1, 1]] == list(range(len(launcher.frames[1, 1])))


def test_a_completion_is_repeated_until_it_is_settled(launcher, script, start):
    script("true")
    launcher.settle = False
    launcher.add_task()
    runner = start()
    launcher.completion()
    seen = launcher.requests.count("POST /lease")
    launcher.stop()
    launcher.start()
    launcher.wait_for(lambda: launcher.requests.count("POST /lease") > seen)
    launcher.settle = True
    launcher.stop()
    launcher.start()
    launcher.order(OrderKind.STOP)
    assert runner.wait() == 0


def test_an_answer_with_a_lease_that_got_lost_is_given_again(launcher, script, start):
    script("echo $OFFLOAD_TASK")
    runner = start()
    launcher.wait_for(lambda: "POST /lease" in launcher.requests)
    launcher.stop()
    launcher.add_task()
    lease = launcher.pending.pop()
    launcher.leased[lease.token] = (runner.name, lease)
    launcher.start()
    assert launcher.completion().outcome.exit_status == 0


def test_a_quiet_task_is_renewed_and_can_be_cancelled_after_an_absence(launcher, script, start):
    script("echo up; sleep 1000", poll=0.2)
    token = launcher.add_task()
    start()
    launcher.wait_for(launcher.output)
    launcher.stop()
    launcher.start()
    seen = launcher.requests.count("POST /lease")
    launcher.wait_for(lambda: launcher.requests.count("POST /lease") > seen + 2)
    launcher.order(OrderKind.CANCEL, token)
    assert launcher.completion().outcome.reason.code == "cancelled"
    assert launcher.output(Stream.NOTICE) == b""
