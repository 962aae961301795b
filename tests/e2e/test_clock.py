"""A clock that jumps while a job runs, for all of Offload, as when an administrator corrects it."""

from __future__ import annotations

import re
import time

from fakes.person import at_work, wait_until
from fakes.skewed_clock import SkewedClock

HOUR = 3600
LOOK = 40
"""Seconds within which the launcher looks after its leases; it does so every 15."""


def test_a_clock_that_jumps_hours_loses_no_lease_and_shows_no_negative_times(tmp_path):
    clock = SkewedClock(tmp_path)
    same_clock = [word for name in clock.env for word in ("--env", name)]
    with at_work(tmp_path, **clock.env) as person:
        go = tmp_path / "go"
        person.write("slow.sh", f"echo begin; while [ ! -e '{go}' ]; do sleep 0.1; done; echo end; date +%s")
        with person.start("run", *same_clock, "slow.sh") as process:
            assert process.stdout.readline() == b"begin\n"
            clock.jump(5 * HOUR)
            wait_until(lambda: "action=renew_all" in log_of(person), seconds=LOOK)
            clock.jump(-5 * HOUR)
            go.touch()
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out.split()[0], err) == (0, b"end", b"")
        assert abs(int(out.split()[1]) - time.time() + 5 * HOUR) < HOUR, "the script's clock did not jump"
        check_once_and_never_backwards(person)


def log_of(person) -> str:
    return (person.root / "offload/launcher.log").read_text().partition("action=scale")[2]


def check_once_and_never_backwards(person) -> None:
    (job,) = person.json("jobs")["jobs"]
    (task,) = person.json("status", job["id"])["tasks"]
    (attempt,) = task["attempts"]
    assert (job["state"], attempt["state"]) == ("succeeded", "succeeded")
    assert 0 < attempt["use"]["wall"] < HOUR
    assert job["created"] <= job["started"] <= job["ended"]
    assert attempt["started"] <= attempt["ended"]
    shown = person.offload("status", job["id"]).stdout + person.offload("jobs").stdout
    assert not re.search(r"\s-\d", shown), shown
