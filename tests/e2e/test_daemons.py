"""A script that leaves a process behind which tries hard not to be found."""

from __future__ import annotations

import os
import signal

import pytest

from fakes.person import wait_until
from fakes.runners import is_alive

DAEMON = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        for descriptor in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        os.execve(sys.executable, ["hidden", "-S", "-c", {code!r}, {where!r}], {{}})
    os._exit(0)
os.wait()
while not os.path.exists({where!r}):
    time.sleep(0.01)
print("detached", flush=True)
time.sleep({seconds})
"""
HIDDEN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + ".part", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(300)
"""


@pytest.fixture
def daemon(person):
    """Makes a script that leaves such a process; tells its pid file, and ends what is left in the end."""
    where = person.root / "hidden.pid"

    def script(seconds: int):
        person.write("leaves.py", DAEMON.format(code=HIDDEN, where=str(where), seconds=seconds))
        return where

    yield script
    if where.exists() and is_alive(int(where.read_text())):
        os.kill(int(where.read_text()), signal.SIGKILL)


def test_a_process_in_hiding_ends_with_its_script(person, daemon):
    where = daemon(0)
    assert person.offload("run", "--grace", "0.5s", "leaves.py").stdout == "detached\n"
    assert not is_alive(int(where.read_text()))


def test_a_process_in_hiding_ends_when_the_job_is_cancelled(person, daemon):
    where = daemon(60)
    with person.start("run", "--grace", "0.5s", "leaves.py") as process:
        assert process.stdout.readline() == b"detached\n"
        person.offload("cancel", person.json("jobs")["jobs"][0]["id"])
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not is_alive(int(where.read_text()))
    wait_until(lambda: not person.pids_of("runner"), what="the runner to end")
