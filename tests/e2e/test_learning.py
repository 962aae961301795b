"""What earlier jobs with a script needed is what `--memory auto` asks for, and says so."""

from __future__ import annotations

import json

from fakes.person import at_work

EATS = "import sys, time\nx = bytearray(int(sys.argv[1]) << 20)\ntime.sleep(0.5)\n"


def test_memory_is_learned_from_earlier_jobs_with_the_same_script(tmp_path):
    with at_work(tmp_path) as person:
        person.write("eats.py", EATS)
        person.write("other.py", "print('small')\n")
        new = person.offload("run", "--memory", "auto", "--show", "eats.py", "9").stdout
        (row,) = [line for line in new.splitlines() if line.startswith("memory  ")]
        assert " ".join(row.split()) == "memory no limit auto: nothing is known of this script yet"
        first = person.offload("run", "--memory", "auto", "eats.py", "150")
        assert "nothing is known of this script yet" in first.stderr
        person.offload("run", "other.py")
        again = person.offload("run", "--memory", "auto", "eats.py", "20")
        assert "because 1 attempt of 1 job used up to 1" in again.stderr
        jobs = person.json("jobs")["jobs"]
        chosen = jobs[0]["spec"]["resources"]["memory"]
        assert 150 << 20 < chosen < 320 << 20
        shown = person.offload("run", "--memory", "auto", "--show", "eats.py", "9").stdout
        assert "auto: 2 attempts of 2 jobs used up to" in shown
        status = person.json("status", jobs[-1]["id"])
        assert status["usage"]["fits_memory"] == chosen
        told = person.offload("status", jobs[-1]["id"]).stdout
        assert f"would fit  --cpus 0.5 --memory {chosen >> 20}Mi" in told


def test_an_attempt_that_ran_out_of_memory_asks_for_more_next_time(tmp_path):
    with at_work(tmp_path) as person:
        person.write("eats.py", EATS.replace("0.5", "5"))
        person.offload("run", "--memory", "256Mi", "--memory-growth", "1", "eats.py", "400", status=None)
        (failed,) = person.json("jobs")["jobs"]
        assert failed["reason"]["code"] == "out_of_memory"
        told = person.offload("run", "--json", "--memory", "auto", "--show", "eats.py", "1").stdout
        shown = json.loads(told)
        assert shown["spec"]["resources"]["memory"] >= 384 << 20
