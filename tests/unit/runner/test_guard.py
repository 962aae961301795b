from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from fakes.runners import eventually, is_alive

# Starts a process in a group of its own and dies by SIGKILL in the middle of what the test has it do.
DIES = """
import os, signal, subprocess
from offload.runner.guard import Guard
guard = Guard({name!r})
child = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
{body}
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def name(tmp_path):
    return tmp_path.name


def dies(name: str, body: str) -> int:
    """The pid of the child; its parent is dead."""
    code = DIES.format(name=name, body=textwrap.dedent(body))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    return int(done.stdout)


def guards(name: str) -> list[str]:
    shown = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if f"offload-guard {name}" in line]


def test_what_is_guarded_dies_with_the_process(name):
    pid = dies(name, "with guard.over(child.pid): os.kill(os.getpid(), signal.SIGKILL)")
    eventually(lambda: not is_alive(pid))
    eventually(lambda: guards(name) == [])


def test_what_is_no_longer_guarded_lives_on(name):
    pid = dies(name, "with guard.over(child.pid): pass")
    try:
        eventually(lambda: guards(name) == [])
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_without_its_guard_a_runner_goes_on(launcher, script, start):
    script("until [ -e ../../go ]; do sleep 0.02; done; echo made > file")
    launcher.add_task()
    runner = start()
    eventually(runner.tasks)
    subprocess.run(["pkill", "-KILL", "-f", f"offload-guard {runner.name}"], check=True)
    (runner.directory / "go").touch()
    assert launcher.completion().outcome.exit_status == 0


def test_a_guard_belongs_to_no_task(launcher, script, start):
    """A runner waits until no child of it is left, so its guard must not be one."""
    script("ps -o pid= --ppid $PPID")
    launcher.add_task()
    runner = start()
    assert launcher.completion().outcome.exit_status == 0
    assert len(launcher.output().split()) == 1
    assert len(guards(runner.name)) == 1
    runner.terminate()
    runner.wait()
    eventually(lambda: guards(runner.name) == [])
