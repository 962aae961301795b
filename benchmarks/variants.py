"""W: many short tasks on this machine, beside HyperQueue, GNU parallel and xargs, in turn.

``make bench-arrays`` takes some minutes. Offload keeps for each task its output, exit status, accounting and
result files, in a store that survives a crash, and gives each a clean copy of the directory. HyperQueue keeps
output in files; GNU parallel does with ``--results``; xargs keeps nothing and is the floor.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.launcher import memory, processes
from benchmarks.run import write_project
from benchmarks.table import OFFLOAD, row, seconds

CORES = 2
MANY = 1_000_000


def main() -> None:
    """Measure everything in a place of its own."""
    place = Path(tempfile.mkdtemp(prefix="offload-bench-"))
    os.environ["OFFLOAD_HOME"] = str(place / "home")
    work = place / "work"
    work.mkdir()
    seconds([OFFLOAD, "run", "--", "true"], work)  # the launcher is warm from here on
    print("| what | Offload | peer | ratio |\n|---|---|---|---|")
    try:
        short_tasks(work)
        interpreters(work)
        large_directory(place)
        makespans(work)
        kills(work)
        a_million(work)
    finally:
        subprocess.run([OFFLOAD, "launcher", "stop", "--force"], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def short_tasks(work: Path, tasks: int = 2000) -> None:
    """W3: as many tasks a second as there can be."""
    peers = {
        "HyperQueue": lambda: _hyperqueue(tasks, ["true"]),
        "GNU parallel --results": lambda: _parallel(tasks, ["true"]),
        "xargs -P2, nothing kept": lambda: _xargs(tasks, ["true"]),
    }
    for name, peer in peers.items():
        row(f"{tasks:,} x `true`", lambda: _array(tasks, ["true"], work), (name, peer), rounds=3)


def interpreters(work: Path, tasks: int = 200) -> None:
    """W4: interpreters, of which two run at a time.

    What ``python3`` starts for a person may be a script that looks for the interpreter; both are measured.
    """
    for program in (["python3", "-c", "pass"], [sys.executable, "-c", "pass"], ["Rscript", "-e", "1"]):
        call = [os.path.realpath(shutil.which(program[0]) or program[0]), *program[1:]]
        name = f"{tasks} x `{' '.join([Path(call[0]).name, *call[1:]])}`"
        ours = partial(_array, tasks, call, work)
        row(name, ours, ("xargs -P2", partial(_xargs, tasks, call)), rounds=6)
        row("the same", ours, ("HyperQueue", partial(_hyperqueue, tasks, call)), rounds=2)
        row("the same", ours, ("GNU parallel --results", partial(_parallel, tasks, call)), rounds=2)


def large_directory(place: Path, tasks: int = 40) -> None:
    """Tasks that each start in a clean copy of 5,000 files, 200 MB, and write one more."""
    project = place / "project"
    write_project(project, seed=1)
    copying = f'd=$(mktemp -d -p {place}) && cp -a {project}/. "$d" && cd "$d" && touch out && rm -r "$d"'
    row(
        f"{tasks} x `touch out` in 5,000 files, 200 MB",
        partial(_array, tasks, ["touch", "out"], project),
        ("xargs -P2 and cp -a", partial(_xargs, tasks, ["sh", "-c", copying])),
        rounds=1,
    )


def makespans(work: Path) -> None:
    """W5: from the first start to the last end, beside what no scheduler can beat and beside xargs."""
    chance = random.Random(5)
    tails = [round(chance.lognormvariate(-2, 1.2), 3) for _ in range(150)]
    for name, durations in (("100 x 0.5 s", [0.5] * 100), ("150 x lognormal", tails)):
        ideal = max(sum(durations) / CORES, *durations)
        ours = partial(_sleeps, durations, work)
        row(f"makespan of {name} on {CORES} slots", ours, ("ideal", partial(float, ideal)), rounds=2)
        row(
            "the same",
            ours,
            ("xargs -P2", partial(_fed, durations, ["xargs", f"-P{CORES}", "-n1", "sleep"])),
            rounds=1,
        )


def kills(work: Path, tasks: int = 1000) -> None:
    """W9: kill -9 of the launcher and of the runners, at 30 % and at 70 % of the tasks."""
    job = _offload("run", "-d", "--array", f"1-{tasks}", "--", "sleep", "0.05", cwd=work).strip()
    pauses = []
    for share, victims in ((0.3, "offload.server"), (0.5, "offload.runner"), (0.7, "offload.server")):
        _wait(job, round(share * tasks))
        done = _succeeded(job)
        _kill(victims)
        began = time.perf_counter()
        _wait(job, done + 2 * CORES + 1)
        pauses.append(time.perf_counter() - began)
    _offload("wait", job)
    lost = tasks - _succeeded(job)
    print(
        f"| {tasks:,} tasks, launcher and runners killed three times: lost, longest pause "
        f"| {lost} lost, {max(pauses):.1f} s | | |",
        flush=True,
    )


def a_million(work: Path) -> None:
    """W11: submit, list and cancel an array of a million tasks."""
    row(f"{MANY:,} tasks: submit", lambda: _submitted(work), rounds=1)
    job = json.loads(_offload("jobs", "--json", "--limit", "1"))["jobs"][0]["id"]
    memory(f"with {MANY:,} tasks")
    row(f"{MANY:,} tasks: `offload jobs`", lambda: seconds([OFFLOAD, "jobs"], work), rounds=3)
    row(f"{MANY:,} tasks: `offload status`", lambda: seconds([OFFLOAD, "status", job], work), rounds=3)
    row(f"{MANY:,} tasks: `offload cancel`", lambda: _cancelled(work), rounds=1)
    _offload("cancel", job)
    subprocess.run([OFFLOAD, "wait", job], check=False, capture_output=True)  # its runners are gone then


def _submitted(work: Path) -> float:
    return seconds([OFFLOAD, "run", "-d", "--array", f"1-{MANY}", "--", "sleep", "1000"], work)


def _cancelled(work: Path) -> float:
    job = _offload("run", "-d", "--array", f"1-{MANY}", "--", "sleep", "1000", cwd=work).strip()
    return seconds([OFFLOAD, "cancel", job], work)


def _array(tasks: int, program: list[str], work: Path) -> float:
    return seconds([OFFLOAD, "run", "--array", f"1-{tasks}", "--", *program], work)


def _hyperqueue(tasks: int, program: list[str]) -> float:
    words = ["run", "--quiet", "--no-project", "--with", "hyperqueue==0.27.0", "python"]
    script = str(Path(__file__).with_name("hyperqueue_peer.py"))
    with tempfile.TemporaryDirectory() as directory:
        call = [os.environ.get("UV", "uv"), *words, script, str(CORES), str(tasks), directory, *program]
        return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-1])


def _parallel(tasks: int, program: list[str]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return _fed(range(tasks), ["parallel", f"-j{CORES}", "--results", directory, "-n0", *program])


def _sleeps(durations: Sequence[float], work: Path) -> float:
    table = work / "sleeps.csv"
    table.write_text("\n".join(("seconds", *map(str, durations))) + "\n")
    share = (os.cpu_count() or CORES) / CORES  # so that this machine has as many slots
    words = ["run", "--cpus", f"{share:g}", "--params", table.name, "--", "sleep", "{seconds}"]
    return seconds([OFFLOAD, *words], work)


def _xargs(tasks: int, program: list[str]) -> float:
    return _fed(range(tasks), ["xargs", f"-P{CORES}", "-I{}", *program])


def _fed(inputs: Iterable[float], call: list[str]) -> float:
    """Seconds of a command that reads a number for each task."""
    numbers = "".join(f"{number}\n" for number in inputs)
    began = time.perf_counter()
    subprocess.run(call, input=numbers, text=True, check=True, capture_output=True)
    return time.perf_counter() - began


def _offload(*words: str, cwd: Path | None = None) -> str:
    return subprocess.run([OFFLOAD, *words], check=True, capture_output=True, text=True, cwd=cwd).stdout


def _succeeded(job: str) -> int:
    jobs = json.loads(_offload("jobs", "--json"))["jobs"]
    return next(int(one["counts"]["succeeded"]) for one in jobs if one["id"] == job)


def _wait(job: str, succeeded: int) -> None:
    while _succeeded(job) < succeeded:
        time.sleep(0.05)


def _kill(program: str) -> None:
    for entry in processes(program):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(entry.name), signal.SIGKILL)


if __name__ == "__main__":
    main()
