"""Where the time of one job on Kubernetes goes: what happened when, from everybody who was there.

All of it happens on one machine, so all clocks are one: the API server's record of requests, the container
runtime's events, the launcher's store, and the script, which prints when it began.
"""

from __future__ import annotations

import json
import re
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig import IMAGE, RUNNER, Bench, wait_until
from cluster.control_plane import AUDIT
from cluster.places import CONTAINERD_SOCKET

STAMPED = "import time\nprint(time.time(), flush=True)\nopen('made.txt', 'w').write('x')\n"
_EVENT = re.compile(r"(\S+ [0-9:]+\.\d{6})\d* \S+ UTC k8s.io (\S+) (\{.*\})")
Times = dict[str, float]


def timeline(found: Bench, command: tuple[str, ...], rounds: int) -> None:
    """Run jobs, and print how long each step of one took, as the median of all."""
    found.person.write("stamped.py", STAMPED)
    steps: dict[str, list[float]] = {}
    for _ in range(rounds):
        before = 0.0
        for name, at in sorted(_one(found, command).items(), key=lambda pair: pair[1]):
            steps.setdefault(name, []).append(at - before)
            before = at
    for name, each in steps.items():
        print(f"| … {name} | +{1000 * statistics.median(each):.0f} ms | | |", flush=True)


def _one(found: Bench, command: tuple[str, ...]) -> Times:
    """Seconds from typing the command to each thing that happened."""
    with tempfile.TemporaryFile() as heard, _events(heard.fileno()):
        size = AUDIT.stat().st_size
        began = time.time()
        with found.person.start(*command, "stamped.py") as process:
            assert process.stdout
            line = process.stdout.readline()
            first = time.time()
            process.stdout.read()
        ended = time.time()
        assert process.returncode == 0
        times = {"its first line is on the screen": first, "results are home, the command ends": ended}
        times["the script begins (start of Python included)"] = float(line)
        heard.seek(0)
        times |= _started(heard.read().decode(), began) | _stored(found) | _asked(size, found.namespace)
    return {name: at - began for name, at in times.items()}


@contextmanager
def _events(out: int) -> Iterator[None]:
    """Have the container runtime tell what it does."""
    command = ("ctr", "--address", str(CONTAINERD_SOCKET), "events")
    with subprocess.Popen(command, stdout=out) as process:
        try:
            wait_until(lambda: Path(f"/proc/{process.pid}/net/unix").exists())
            time.sleep(0.3)  # it says nothing when it begins to listen
            yield
            time.sleep(0.1)
        finally:
            process.terminate()


def _started(text: str, began: float) -> Times:
    """When the first container of each image was started; others' pods mustn't start meanwhile."""
    images = {
        "pause": "the pod's sandbox runs",
        RUNNER: "the runner's container runs",
        IMAGE: "the task's container runs",
    }
    names: dict[str, str] = {}
    times: Times = {}
    for stamp, topic, data in _EVENT.findall(text):
        at = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
        about = json.loads(data)
        if at < began:
            continue
        if topic == "/containers/create":
            names[about["id"]] = next((what for key, what in images.items() if key in about["image"]), "")
        elif topic == "/tasks/start" and (what := names.get(about["container_id"])):
            times.setdefault(what, at)
    return times


def _stored(found: Bench) -> Times:
    """What the launcher noted about the newest job."""
    with sqlite3.connect(f"file:{found.home / 'store.sqlite'}?mode=ro", uri=True) as store:
        job, created, ended = store.execute(
            "SELECT id, created, ended FROM jobs ORDER BY number DESC LIMIT 1"
        ).fetchone()
        (hello,) = store.execute(
            "SELECT hello FROM runners WHERE pool LIKE ? AND hello IS NOT NULL", (f"{job}-%",)
        ).fetchone()
        (leased,) = store.execute("SELECT started FROM attempts WHERE job = ?", (job,)).fetchone()
    store.close()
    return {
        "the job is submitted": created,
        "the runner says hello": hello,
        "the agent is there, the task is leased": leased,
        "the launcher knows the outcome": ended,
    }


def _asked(size: int, namespace: str) -> Times:
    """When the API server had made our Job."""
    with AUDIT.open("rb") as record:
        record.seek(size)
        for line in record:
            entry = json.loads(line)
            about = entry.get("objectRef", {})
            if (about.get("namespace"), about.get("resource"), entry["verb"]) == (namespace, "jobs", "patch"):
                return {
                    "Secret and Job are made": datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
                }
    return {}
