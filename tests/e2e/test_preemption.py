"""A job that is interrupted on purpose goes on from what it saved."""

from __future__ import annotations

from fakes.person import at_work

COUNTS = """\
import os, pathlib, signal, sys, time

saved = pathlib.Path(os.environ["OFFLOAD_CHECKPOINT"], "n")
n = int(saved.read_text()) if saved.exists() else 0
print("from", n, flush=True)
signal.signal(signal.SIGTERM, lambda *_: (saved.write_text(str(n)), sys.exit(1)))
while n < 20:
    n += 1
    time.sleep(0.1)
print("to", n)
"""


def test_an_interrupted_script_goes_on_from_its_checkpoint(tmp_path):
    with at_work(tmp_path) as person:
        person.write("counts.py", COUNTS)
        done = person.offload("run", "--test-preemption", "1s", "counts.py")
        assert done.stdout.splitlines()[0] == "from 0"
        begun = int(done.stdout.splitlines()[1].removeprefix("from "))
        assert 0 < begun < 20
        assert done.stdout.splitlines()[2:] == ["to 20"]
        (task,) = person.json("status", person.json("jobs")["jobs"][0]["id"])["tasks"]
        first, second = task["attempts"]
        assert (first["state"], first["reason"]["code"], second["state"]) == (
            "lost",
            "preempted",
            "succeeded",
        )
