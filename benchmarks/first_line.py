"""K1: from typing a command to its first line and to the results, beside kubectl, and where the time goes."""

from __future__ import annotations

import itertools
import statistics
import time

from benchmarks.peers import create_job, follow, remove
from benchmarks.rig import CLUSTER, SMALL, Bench, bench
from benchmarks.timeline import timeline

HELLO = "print('hello', flush=True)"
COMMAND = ("run", "--on", CLUSTER, "--cpus", "0.1", "--memory", "64Mi")


def first_line(rounds: int) -> None:
    """Measure in turn, and print the rows of K1."""
    with bench(SMALL) as found:
        found.person.write("hello.py", f"{HELLO}\nopen('made.txt', 'w').write('x')\n")
        names = (f"peer-{number}" for number in itertools.count())
        pairs = [(_ours(found), _peer(found, next(names))) for _ in range(1 + rounds)][1:]
        for number, what in enumerate(("first line", "results home, beside the end of the log")):
            mine = statistics.median(ours[number] for ours, _ in pairs)
            other = statistics.median(peer[number] for _, peer in pairs)
            ratio = statistics.median(ours[number] / peer[number] for ours, peer in pairs)
            print(
                f"| `offload run --on …`, {what} | {mine:.3f} s | kubectl: {other:.3f} s | {ratio:.2f} |",
                flush=True,
            )
        timeline(found, COMMAND, rounds)


def _ours(found: Bench) -> tuple[float, float]:
    began = time.perf_counter()
    with found.person.start(*COMMAND, "hello.py") as process:
        assert process.stdout
        process.stdout.read(1)
        first = time.perf_counter() - began
        process.stdout.read()
    whole = time.perf_counter() - began
    assert process.returncode == 0
    return first, whole


def _peer(found: Bench, name: str) -> tuple[float, float]:
    began = time.perf_counter()
    create_job(found, name, ["python3", "-c", HELLO])
    took = follow(found, name, began)
    remove(found, name)
    return took
