"""Output that begins anew says why."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def shell(guest):
    return guest


def test_output_that_begins_anew_because_the_runner_was_killed_says_so(shell):
    seen = shell.here / "seen"
    wait = f"until [ -e '{seen}' ]; do sleep 0.05; done"
    shell.write(
        "dies.sh",
        f"echo begin $OFFLOAD_ATTEMPT\n[ $OFFLOAD_ATTEMPT = 2 ] || {{ {wait}; kill -9 $PPID; sleep 60; }}\n",
    )
    with shell.start("run", "dies.sh") as process:
        assert process.stdout.readline() == b"begin 1\n"
        seen.touch()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"begin 2\n")
    assert re.fullmatch(
        rb"offload: \w{7}: The process beside the task ended without a word; .*\. It is tried again\.\n", err
    ), err


def test_what_befalls_many_tasks_alike_is_told_once(shell):
    shell.write("flaky.sh", "echo begin; test $OFFLOAD_ATTEMPT = 2\n")
    done = shell.offload("run", "--array", "1-3", "--retries", "1", "flaky.sh")
    assert (done.returncode, done.stdout) == (0, b"begin\n" * 6)
    assert re.fullmatch(
        rb"offload: task \d of \w{7}: The script ended with exit status 1\. It is tried again\.\n",
        done.stderr,
    ), done.stderr
