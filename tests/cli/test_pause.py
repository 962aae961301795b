"""Paused jobs: what stands in the lists, how followers leave them, and what is asked on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import offload
from fakes.person import wait_until
from fakes.shell import COMMAND
from offload.errors import ERRORS, PAUSED, JobPausedError

BAD = "import os\nraise ValueError(f\"seed {os.environ['OFFLOAD_TASK']} is no good\")\n"
QUICK_AND_BAD = 'echo "seed $OFFLOAD_TASK is no good" >&2; exit 3\n'
MANY = ("--array", "1-60", "--cpus", "1")
HALF_GOOD = 'test -e "$GO" || exit 3\necho "$OFFLOAD_TASK" > made.txt\n'


@pytest.fixture
def here(guest):
    return with_scripts(guest)


def with_scripts(shell):
    shell.write("bad.py", BAD)
    shell.write("bad.sh", QUICK_AND_BAD)
    shell.write("half.sh", HALF_GOOD)
    return shell


def job_of(shell) -> dict:
    return json.loads(shell.text("jobs", "--json"))["jobs"][0]


def paused(shell, *words: str) -> str:
    """The id of a job that was sent and has been paused by its failures."""
    done = shell.offload("run", *MANY, *(words or ("bad.py",)))
    assert done.returncode == PAUSED, done.stderr.decode()
    return str(job_of(shell)["id"])


class Conversation:
    """A command on a terminal of its own, with a person who types."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self.master, self.seen = process, master, ""

    def until(self, pattern: str) -> str:
        """What has appeared, once it matches."""
        deadline = time.monotonic() + 60
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 1.0)[0]:
                self.seen += os.read(self.master, 65536).decode()
        return self.seen

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """The exit status, when all has been read."""
        try:
            while piece := os.read(self.master, 65536):
                self.seen += piece.decode()
        except OSError:  # what Linux says when the other end is closed
            pass
        return self.process.wait(60)


@contextmanager
def talk(shell, *words: str) -> Iterator[Conversation]:
    master, slave = pty.openpty()
    environ = {**shell.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        ["setsid", "--ctty", COMMAND, *words],
        cwd=shell.here,
        env=environ,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        try:
            yield Conversation(process, master)
        finally:
            process.kill()
    os.close(master)


def test_a_job_whose_tasks_all_fail_alike_is_paused_and_whoever_follows_it_leaves(here):
    done = here.offload("run", *MANY, "bad.py")
    assert done.returncode == PAUSED
    job = job_of(here)
    assert (job["state"], job["target"], job["reason"]["code"]) == ("running", "paused", "failed_alike")
    assert job["counts"]["failed"] < 40
    assert job["counts"]["running"] == 0
    told = done.stderr.decode()
    assert f"offload: {job['id']} is paused: No task has succeeded, and the first 10 failed alike: " in told
    for step in ("failures", "resume", "cancel"):
        assert f"offload {step} {job['id']}" in told
    for command in (("logs", "-f"), ("wait",)):
        again = here.offload(*command, job["id"])
        assert (again.returncode, b"is paused: No task has succeeded" in again.stderr) == (PAUSED, True)
    asked = here.offload("wait", "--json", job["id"])
    assert (asked.returncode, asked.stderr) == (PAUSED, b"")
    assert json.loads(asked.stdout)["target"] == "paused"


def test_every_page_about_a_paused_job_says_so_and_what_can_be_done(here):
    job = paused(here)
    assert re.search(rf"{job} +bad.py +paused ", here.text("jobs"))
    assert job in here.text("jobs", "--state", "paused")
    assert job not in here.text("jobs", "--state", job_of(here)["state"])
    assert here.text("status", job).startswith(f"{job}  bad.py  paused\n")
    for page in ("status", "why", "failures"):
        assert f"Go on: offload resume {job}   End it: offload cancel {job}" in here.text(page, job)
    assert here.text("why", job).startswith(f"{job} (bad.py) is paused. No task has succeeded, and the first")
    assert json.loads(here.text("why", "--json", job))["target"] == "paused"
    tasks = json.loads(here.text("status", job, "--json"))["tasks"]
    assert tasks[-1]["reason"]["code"] == "failed_alike"


def test_a_resumed_job_goes_on_and_is_not_asked_about_again(here, tmp_path):
    go = tmp_path / "go"
    here.environ["GO"] = str(go)
    job = paused(here, "--env", "GO", "half.sh")
    go.touch()
    assert f"{job} goes on" in here.text("resume", job)
    assert here.offload("wait", job).returncode == 3
    counts = json.loads(here.text("jobs", "--json"))["jobs"][0]["counts"]
    assert counts["succeeded"] + counts["failed"] == 60
    assert counts["failed"] < 40
    assert "was resumed by" in here.text("why", job)


def test_whoever_says_keep_going_is_not_asked(here):
    for words in (("--keep-going",), ("--fail-fast", "30")):
        done = here.offload("run", *words, "--array", "1-35", "bad.sh")
        assert done.returncode == 3
    here.write("stubborn.sh", f"# offload: keep-going array=1-25\n{QUICK_AND_BAD}")
    assert here.offload("run", "stubborn.sh").returncode == 3
    both = here.offload("run", "--keep-going", "--fail-fast", "3", "bad.sh")
    assert both.returncode == 2
    assert b"--fail-fast and --keep-going can't go together" in both.stderr


def test_what_was_made_is_collected_while_the_job_is_paused_by_hand(here):
    here.write("slow.sh", 'echo "$OFFLOAD_TASK" > made.txt; test $OFFLOAD_TASK -lt 3 || sleep 1\n')
    job = here.text("run", "-d", *MANY, "slow.sh").strip()
    wait_until(lambda: job_of(here)["counts"]["succeeded"] > 1)
    assert f"{job} is paused" in here.text("pause", job)
    done = here.offload("wait", job)
    assert done.returncode == PAUSED
    assert f"What it made: offload collect {job}" in done.stderr.decode()
    assert "paused it." in done.stderr.decode()
    counts = job_of(here)["counts"]
    here.text("collect", job)
    made = list((here.here / "results" / job).glob("*/made.txt"))
    assert len(made) == counts["succeeded"]
    here.text("cancel", job)
    assert here.offload("wait", job).returncode == 130
    assert "has already ended: cancelled" in here.text("resume", job)


def test_a_job_that_is_over_is_neither_paused_nor_resumed(here):
    here.offload("run", "--", "true")
    job = job_of(here)["id"]
    for command in ("pause", "resume"):
        assert f"{job} has already ended: succeeded." in here.text(command, job)
    assert here.offload("pause", "nope123").returncode == 2


def test_on_a_terminal_enter_leaves_it_paused_and_yes_goes_on_to_the_end(here, tmp_path):
    go = tmp_path / "go"
    here.environ["GO"] = str(go)
    with talk(here, "run", *MANY, "--env", "GO", "half.sh") as person:
        person.until(r"is paused: .*(\n.*)*Go on\? \[.*\] ")
        person.type("what\n")
        person.until(r"(Go on\? \[.*\] [^?]*){2}")
        person.type("\n")
        assert person.end() == PAUSED
    job = job_of(here)
    assert job["target"] == "paused"
    go.touch()
    with talk(here, "logs", "-f", job["id"]) as person:
        person.until(r"Go on\? \[.*\] ")
        person.type("y\n")
        assert person.end() == 0
    assert job_of(here)["state"] == "failed"


def test_on_a_terminal_the_job_can_be_cancelled_by_word_and_by_ctrl_c(here):
    for answer in ("c\n", "\x03"):
        with talk(here, "run", *MANY, "bad.py") as person:
            person.until(r"Go on\? \[.*\] ")
            person.type(answer)
            assert person.end() == 130
            assert "was cancelled" in person.seen
        assert job_of(here)["state"] == "cancelled"


def test_ctrl_c_at_the_question_of_wait_ends_only_the_waiting(here):
    job = paused(here)
    with talk(here, "wait", job) as person:
        person.until(r"Go on\? \[.*\] ")
        person.type("\x03")
        assert person.end() == 130
    assert job_of(here)["target"] == "paused"


def test_a_question_that_somebody_else_answered_is_taken_back(here):
    job = paused(here)
    with talk(here, "wait", job) as person:
        person.until(r"Go on\? \[.*\] ")
        here.text("cancel", job)
        assert person.end() == 130


def test_the_launcher_that_is_killed_while_a_job_is_paused_comes_back_to_a_paused_job(alone):
    here = with_scripts(alone)
    job = paused(here)
    process = json.loads(here.text("launcher", "status", "--json"))["pid"]
    os.kill(process, signal.SIGKILL)
    before = job_of(here)
    assert (before["target"], before["reason"]["code"]) == ("paused", "failed_alike")
    here.text("launcher", "stop")
    assert job_of(here) == before
    here.text("cancel", job)
    assert here.offload("wait", job).returncode == 130


def test_python_is_told_that_a_job_is_paused_instead_of_waiting_for_ever(here, monkeypatch):
    job = offload.Job(paused(here))
    monkeypatch.setenv("OFFLOAD_HOME", str(here.home))
    with pytest.raises(JobPausedError, match="No task has succeeded") as caught:
        job.wait()
    assert ERRORS[caught.value.code].exit_status == PAUSED
    assert len(list(job.logs())) > 10
    assert job.resume().target == "done"
    assert job.pause().target == "paused"
    assert job.cancel().target == "cancelled"
    assert job.wait().state == "cancelled"
