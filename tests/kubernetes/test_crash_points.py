"""The launcher, killed at every request with which a pool is created, grows, shrinks and is released.

Whatever was under way: the launcher that is started next finds it. There is one job, no attempt is lost by
it, and in the end nothing is left in the namespace. Several such launchers work at the same time, each in a
namespace of its own, because most of the time is spent waiting for pods.
"""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.analyst import Analyst, analyst_at_work

TESTS = Path(__file__).parents[1]
CRASH = f"{TESTS}/kubernetes/crash:{TESTS}/fakes/crash"
POINTS = 60
"""More points than a run passes; a test holds this true."""
SIDE_BY_SIDE = 4
SCRIPT = """
echo "task $OFFLOAD_TASK"
if [ $OFFLOAD_TASK$OFFLOAD_ATTEMPT = 11 ]; then
    sleep 4      # task 2's runner has no more work, ends in order and so closes the Job
    kill -TERM 1 # as if the pod were evicted: the pool has to grow again, in a Job of the next generation
    sleep 60
fi
echo "done" > made.txt
"""


def run(directory: Path, number: int) -> list[str]:
    """One run with one crash; the points that were passed."""
    directory.mkdir()
    env = {"PYTHONPATH": CRASH, "CRASH_POINT": f"server:{number}:{directory}"}
    with analyst_at_work(directory / "person", f"crash-{secrets.token_hex(3)}", **env) as analyst:
        analyst.add("rig")
        analyst.write("job.sh", SCRIPT)
        analyst.run("--grace", "1s", "--array", "1-2", "job.sh")
        check(analyst)
        passed = (directory / "points").read_text().splitlines()
        assert number < 0 or (directory / "crashed").exists() or len(passed) <= number
        return passed


def check(analyst: Analyst) -> None:
    (job,) = analyst.json("jobs")["jobs"]
    assert (job["state"], job["counts"]["succeeded"]) == ("succeeded", 2)
    attempts = [task["attempts"] for task in analyst.json("status", job["id"])["tasks"]]
    assert [[one["state"] for one in each] for each in attempts] == [["lost", "succeeded"], ["succeeded"]]
    assert attempts[0][0]["reason"]["code"] == "evicted"
    assert sorted(analyst.printed(job["id"]).splitlines()) == ["task 1", "task 1", "task 2"]
    for n in (1, 2):
        assert (analyst.work / f"results/{job['id']}/{n}/made.txt").read_text() == "done\n"
    analyst.wait_until_nothing_is_left()


def cases() -> list[int]:
    step = 1 if os.environ.get("EVERY_CRASH_POINT") else 5
    return list(range(0, POINTS, step))


@pytest.mark.timeout(300)
def test_a_launcher_that_dies_at_any_request_leaves_one_pool_and_then_nothing(tmp_path, cluster):
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        passed = pool.submit(run, tmp_path / "none", -1).result()
        assert 10 < len(passed) < POINTS, passed
        assert sum("apply jobs" in point for point in passed) == 4, (
            passed
        )  # two generations, before and after
        numbers = [number for number in cases() if number < len(passed)]
        for _ in pool.map(lambda number: run(tmp_path / str(number), number), numbers):
            pass
