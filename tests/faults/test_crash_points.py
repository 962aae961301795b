"""Kill -9 at each point between submission and play back, of the launcher and of the runner.

Whatever dies wherever: there is one job, it succeeds, its output and its files are at home, and no process
and nothing of its pool is left.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fakes.person import at_work, wait_until

TESTS = Path(__file__).parents[1]
CRASH = f"{TESTS}/faults/crash:{TESTS}/fakes/crash"
LINES = [f"line {n}" for n in range(1, 41)]
SCRIPT = """
echo started >> "$LEDGER"
for n in $(seq 40); do echo "line $n"; done
sleep 0.1
tr a-z A-Z < in.txt > out.txt
echo ended >> "$LEDGER"
"""
GREEDY = """
echo started >> "$LEDGER"
python3 -c 'import time; block = bytearray(60 << 20); time.sleep(0.3)'
echo ended >> "$LEDGER"
"""
GROWING = range(72, 170, 13 if os.environ.get("EVERY_CRASH_POINT") else 64)
"""Points of the launcher, from just before a task runs out of memory until both pools are released."""
POINTS = {"server": 125, "runner": 40}
"""More points than a run passes, so that every one of them is among the cases; a test holds this true."""


def run_with_crash(directory: Path, program: str, number: int, *options: str, script: str = SCRIPT):
    with at_work(
        directory,
        PYTHONPATH=CRASH,
        CRASH_POINT=f"{program}:{number}:{directory}",
        LEDGER=str(directory / "ledger"),
    ) as person:
        person.write("job.sh", script)
        person.write("in.txt", "hello\n")
        done = person.offload("run", *options, "--env", "LEDGER", "job.sh", status=None)
        yield person, done


def check_one_success(person, done, *, attempts: int) -> None:
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert (person.work / "out.txt").read_text() == "HELLO\n"
    (job,) = person.json("jobs")["jobs"]
    assert (job["state"], job["counts"]["succeeded"]) == ("succeeded", 1)
    status = person.json("status", job["id"])
    (task,) = status["tasks"]
    states = [attempt["state"] for attempt in task["attempts"]]
    assert states.count("succeeded") == 1
    assert len(states) <= attempts
    ledger = (person.root / "ledger").read_text().split()
    assert ledger.count("ended") >= 1
    assert ledger.count("started") <= attempts
    runners = person.root / "offload/clusters/local/runners"
    wait_until(lambda: not runners.exists() or not os.listdir(runners), what="the pool to be removed")
    wait_until(lambda: not person.pids_of("runner"), what="the runners to end")


def cases(program: str) -> range:
    step = 1 if os.environ.get("EVERY_CRASH_POINT") else 25
    return range(0, POINTS[program], step)


@pytest.mark.parametrize("number", cases("server"))
def test_a_launcher_that_dies_anywhere_loses_and_doubles_nothing(tmp_path, number):
    for person, done in run_with_crash(tmp_path, "server", number):
        assert done.stdout.splitlines() == LINES
        check_one_success(person, done, attempts=1)


@pytest.mark.parametrize("number", cases("runner"))
def test_a_runner_that_dies_anywhere_is_replaced_and_its_task_run_again(tmp_path, number):
    for person, done in run_with_crash(tmp_path, "runner", number):
        assert done.stdout.splitlines()[-len(LINES) :] == LINES
        check_one_success(person, done, attempts=2)


@pytest.mark.parametrize("number", GROWING)
def test_a_launcher_that_dies_while_a_task_gets_more_memory_gives_it_once(tmp_path, number):
    for person, done in run_with_crash(tmp_path, "server", number, "--memory", "60Mi", script=GREEDY):
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "crashed").exists()
        (job,) = person.json("jobs")["jobs"]
        (task,) = person.json("status", job["id"])["tasks"]
        assert [attempt["state"] for attempt in task["attempts"]] == ["failed", "succeeded"]
        assert [attempt["memory"] >> 20 for attempt in task["attempts"]] == [60, 90]
        assert (person.root / "ledger").read_text().split() == ["started", "started", "ended"]
        pools = person.root / "offload/clusters/local/pools"
        wait_until(lambda pools=pools: not os.listdir(pools), what="both pools to be removed")
        wait_until(lambda person=person: not person.pids_of("runner"), what="the runners to end")


@pytest.mark.parametrize("program", POINTS)
def test_the_cases_cover_every_point_of_a_run(tmp_path, program):
    for person, done in run_with_crash(tmp_path, program, -1):
        check_one_success(person, done, attempts=1)
        passed = (tmp_path / "points").read_text().splitlines()
        assert 10 < len(passed) < POINTS[program], json.dumps(passed, indent=1)
