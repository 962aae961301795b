from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from fakes.runners import eventually
from offload.model.reasons import ReasonCode
from offload.wire.frames import Stream
from offload.wire.runner_protocol import OrderKind

DETACH = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {extra}
        print("detached", flush=True)
        while True: time.sleep(60)
    os._exit(0)
os.wait()
"""
"""A child that left the script's session and group, was orphaned, and holds the script's pipes open."""

WARNED = "sleep 60 & trap 'kill $! && echo goes on > helper; exit 9' %s; wait"


def test_a_time_limit_ends_the_script_with_grace_and_tells_the_status_it_gave(launcher, script, run):
    script("trap 'echo saved > file; exit 9' TERM; while :; do sleep 0.05; done", time_limit=0.3)
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (9, ReasonCode.TIMEOUT)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}


def test_a_script_that_ignores_sigterm_is_killed_after_its_grace_period(script, run):
    script("trap '' TERM; while :; do sleep 0.05; done", time_limit=0.2, grace=0.3)
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (137, ReasonCode.TIMEOUT)
    assert 0.5 <= outcome.use.wall < 10


def test_a_warning_reaches_the_script_alone_and_leaves_it_its_time(launcher, script, run):
    script(WARNED % "USR1", time_limit=60.0, warn={"before": 59.5, "signal": "USR1"})
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (9, ReasonCode.EXIT)
    assert "warned of its time limit of 1m" in outcome.reason.sentence
    assert launcher.results(outcome.results) == {"helper": b"goes on\n"}


def test_too_much_memory_ends_the_script_and_tells_limit_and_peak(launcher, run):
    code = "import time\nx = bytearray(150 << 20)\ntime.sleep(60)"
    launcher.set(command=("python3", "-c", code), memory=100 << 20)
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (137, ReasonCode.OUT_OF_MEMORY)
    assert "its memory limit of 100 MiB; it had reached" in outcome.reason.sentence
    assert "`--memory 256Mi`" in outcome.reason.sentence
    assert outcome.use.peak_memory > 100 << 20


def test_memory_of_helpers_counts_together(launcher, run):
    child = "x = bytearray(80 << 20)\nprint(1, flush=True)\n__import__('time').sleep(60)"
    start = f"subprocess.Popen([sys.executable, '-c', {child!r}])"
    code = f"import subprocess, sys\n[{start} for _ in range(3)][0].wait()"
    launcher.set(command=("python3", "-c", code), memory=200 << 20)
    assert run().reason.code is ReasonCode.OUT_OF_MEMORY


def test_memory_that_forked_helpers_share_counts_once(launcher, run):
    code = """
import os, time
x = bytearray(os.urandom(1 << 20)) * 150
for _ in range(4):
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    launcher.set(command=("python3", "-c", code), memory=300 << 20)
    outcome = run()
    assert outcome.reason is None
    assert 150 << 20 < outcome.use.peak_memory < 300 << 20


def test_a_cancel_order_gives_grace_and_brings_home_what_was_made(launcher, script, start):
    script("trap 'echo saved > file; echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    token = launcher.add_task()
    start()
    launcher.wait_for(launcher.output)
    launcher.order(OrderKind.CANCEL, token)
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (0, ReasonCode.CANCELLED)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}
    assert launcher.output() == b"up\nbye\n"
    assert len(launcher.told) == 1


def test_a_cancel_order_ends_children_that_detached_themselves(launcher, start):
    code = DETACH.format(extra="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    launcher.set(command=("python3", "-c", code + "time.sleep(60)"), grace=0.3)
    token = launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    launcher.order(OrderKind.CANCEL, token)
    assert launcher.completion().outcome.reason.code is ReasonCode.CANCELLED
    assert runner.tasks() == []


def test_children_that_a_script_leaves_behind_end_with_it_and_hold_nothing_up(launcher, start):
    launcher.set(command=("python3", "-c", DETACH.format(extra="pass")))
    launcher.add_task()
    runner = start()
    outcome = launcher.completion(timeout=20).outcome
    assert (outcome.exit_status, outcome.reason) == (0, None)
    assert runner.tasks() == []


def test_a_helper_may_finish_its_output_just_after_the_script(launcher, script, run):
    script("(sleep 0.3; echo late) & echo early")
    assert run().reason is None
    assert launcher.output() == b"early\nlate\n"


def test_a_stranger_that_holds_the_pipe_open_holds_nothing_up(launcher, script, start):
    """The pipe can be reached through /proc by a process that is no descendant of the runner."""
    script("echo $$; sleep 0.5; echo end")
    launcher.add_task()
    start()
    launcher.wait_for(launcher.output)
    stranger = os.open(f"/proc/{int(launcher.output())}/fd/1", os.O_WRONLY)
    try:
        assert launcher.completion().outcome.exit_status == 0
        assert launcher.output().endswith(b"\nend\n")
    finally:
        os.close(stranger)


def test_a_dropped_lease_ends_the_task_and_nothing_more_is_said(launcher, script, start):
    script("trap 'echo saved > file' TERM; echo up; while :; do sleep 0.05; done")
    token = launcher.add_task(1)
    runner = start()
    launcher.wait_for(launcher.output)
    launcher.order(OrderKind.DROP, token)
    launcher.add_task(2)
    launcher.wait_for(lambda: launcher.output(task=2))
    assert len(runner.tasks()) >= 1
    assert launcher.completions == {}
    assert "PUT /blobs" not in launcher.requests


def test_a_signal_that_ends_the_script_is_named(script, run):
    script("kill -SEGV $$")
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (128 + signal.SIGSEGV, ReasonCode.SIGNAL)


def test_limits_of_one_task_do_not_reach_the_next(launcher, script, start):
    script("test $OFFLOAD_TASK = 2 || sleep 60", time_limit=0.3)
    for index in (1, 2):
        launcher.add_task(index)
    start()
    assert launcher.completion("lease-1-1").outcome.reason.code is ReasonCode.TIMEOUT
    assert launcher.completion("lease-2-1").outcome.reason is None


def test_without_a_cgroup_that_works_memory_is_watched_and_a_notice_says_so(launcher, script, run, tmp_path):
    script("true", memory=1 << 30)
    assert run(OFFLOAD_CGROUP=str(tmp_path)).reason is None
    assert "it is watched instead" in launcher.output(Stream.NOTICE).decode()


def test_zombies_of_orphans_do_not_pile_up(launcher, script, start):
    script("for i in $(seq 50); do (sh -c 'true &'); done; echo made; sleep 60")
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)

    eventually(lambda: zombies_of(runner.process.pid) == [])


def zombies_of(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
            found += [path] if state == "Z" and int(ppid) == parent else []
    return found
