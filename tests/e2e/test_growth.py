"""A task that runs out of memory is run again with more, as long as there is more."""

from __future__ import annotations

import pytest

from fakes.person import at_work

EATS = """\
import os, time

task = int(os.environ["OFFLOAD_TASK"])
print(task, int(os.environ["OFFLOAD_MEMORY"]) >> 20, os.listdir(), flush=True)
open("mine.txt", "w").close()
block = bytearray((300 if task == 2 else 5) << 20)
time.sleep(0.5)
print("done", flush=True)
"""


@pytest.fixture
def person(tmp_path):
    with at_work(tmp_path) as found:
        found.write("eats.py", EATS)
        yield found


def test_the_one_task_of_an_array_that_needs_more_gets_more(person):
    done = person.offload("run", "--memory", "256Mi", "--array", "1-3", "eats.py")
    begun = sorted(line for line in done.stdout.splitlines() if line != "done")
    assert begun == [
        f"{task} {memory} ['eats.py']" for task, memory in ((1, 256), (2, 256), (2, 384), (3, 256))
    ]
    (job,) = person.json("jobs")["jobs"]
    assert job["state"] == "succeeded"
    sentence = "It needed more than 256 MiB of memory; it is run again with 384 MiB."
    assert f"offload: task 2 of {job['id']}: {sentence}" in done.stderr
    status = person.json("status", job["id"])
    assert status["job"]["spec"]["resources"]["memory"] == 256 << 20
    assert [[one["memory"] >> 20 for one in task["attempts"]] for task in status["tasks"]] == [
        [256],
        [256, 384],
        [256],
    ]
    assert sentence in person.offload("status", job["id"]).stdout
    assert sentence in person.offload("why", job["id"]).stdout
    rows = person.json("table", job["id"])
    assert [row["memory_limit"] >> 20 for row in rows] == [256, 384, 256]


def test_with_growth_1_a_task_has_what_was_asked_and_no_more(person):
    done = person.offload(
        "run", "--memory", "256Mi", "--memory-growth", "1", "--array", "2", "eats.py", status=137
    )
    assert "more than its memory limit of 256 MiB" in done.stderr
    assert "run again" not in done.stderr


def test_at_the_clusters_limit_a_task_fails_and_says_so(person):
    person.offload("clusters", "add", "small", "--backend", "local", "--set", 'memory="290Mi"')
    words = ("run", "--on", "small", "--memory", "200Mi", "--array", "2", "eats.py")
    done = person.offload(*words, status=137)
    assert "It needed more than 200 MiB of memory; it is run again with 290 MiB." in done.stderr
    assert "It needed more than 290 MiB of memory, and a task can have at most 290 MiB here." in done.stderr
    (job,) = person.json("jobs")["jobs"]
    shown = person.offload(*words[:3], "--show", *words[3:]).stdout
    assert "memory-growth 1.5 times, up to 290 MiB default" in " ".join(shown.split())
    again = person.offload("rerun", job["id"], "--failed", "--memory", "1.3x").stdout.strip()
    person.offload("wait", again, status=137)
    assert person.json("status", again)["job"]["spec"]["resources"]["memory"] == int(1.3 * (200 << 20))
