"""A script that is warned before its time limit saves what it has, and goes on from there."""

from __future__ import annotations

import pytest

from fakes.person import at_work

PYTHON = """\
import os, pathlib, signal, sys, time

saved = pathlib.Path(os.environ["OFFLOAD_CHECKPOINT"], "n")
if saved.exists():
    sys.exit(print("goes on from", saved.read_text()))
left = float(os.environ["OFFLOAD_DEADLINE"]) - time.time()
assert 500 < left <= 601, left
signal.signal(signal.SIGUSR1, lambda *_: (saved.write_text("what it had"), sys.exit(3)))
time.sleep(60)
"""
R = """\
saved <- file.path(Sys.getenv("OFFLOAD_CHECKPOINT"), "n.rds")
if (file.exists(saved)) {
  cat("goes on from", readRDS(saved), "\\n")
  quit()
}
fit <- "what it had"
tryCatch(Sys.sleep(60), interrupt = function(e) saveRDS(fit, saved))
quit(status = 3)
"""
SHELL = """\
saved=$OFFLOAD_CHECKPOINT/n
[ ! -e "$saved" ] || { echo "goes on from $(cat "$saved")"; exit; }
trap 'echo what it had > "$saved"; kill $!; exit 3' USR2
sleep 60 &
wait
"""


@pytest.mark.parametrize(
    ("name", "text", "signal"),
    [("fit.py", PYTHON, ""), ("fit.R", R, "INT@"), ("fit.sh", SHELL, "USR2@")],
)
def test_a_script_that_is_warned_saves_what_it_has(tmp_path, name, text, signal):
    with at_work(tmp_path) as person:
        person.write(name, text)
        done = person.offload("run", "--time", "10m", "--warn", f"{signal}597s", "--retries", "1", name)
        assert done.stdout.split() == ["goes", "on", "from", "what", "it", "had"]
        (task,) = person.json("status", person.json("jobs")["jobs"][0]["id"])["tasks"]
        first, second = task["attempts"]
        assert (first["state"], first["exit_status"], second["state"]) == ("failed", 3, "succeeded")
        assert "warned of its time limit of 10m" in first["reason"]["sentence"]
