"""Timings side by side with what one would use instead, in one run, in turn; prints a Markdown table.

Each row is the median of several rounds; Offload and its peer take turns, so a machine that drifts drifts for
both. Nothing here is asserted.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

OFFLOAD = str(Path(sys.executable).with_name("offload"))
ROUNDS = 5
FILES, FILE_SIZE = 5000, 40_000


def seconds(command: list[str], cwd: Path) -> float:
    """Wall time of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - began


def first_output(command: list[str], cwd: Path) -> float:
    """Seconds until the command's first byte on stdout."""
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        process.stdout.read(1)
        took = time.perf_counter() - began
        process.stdout.read()
    return took


def row(name: str, ours: Callable[[], float], peer: tuple[str, Callable[[], float]] | None = None) -> None:
    """Measure in turn and print one row of the table."""
    pairs = [(ours(), peer[1]() if peer else float("nan")) for _ in range(ROUNDS)]
    mine = statistics.median(pair[0] for pair in pairs)
    if peer is None:
        print(f"| {name} | {mine:.3f} s | | |", flush=True)
        return
    other = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"| {name} | {mine:.3f} s | {peer[0]}: {other:.3f} s | {ratio:.2f} |", flush=True)


def start_up(work: Path) -> None:
    """First line of a script, and of commands that only look."""
    (work / "hello.R").write_text('cat("hello\\n")\n')
    (work / "hello.py").write_text('print("hello")\n')
    seconds([OFFLOAD, "run", "hello.py"], work)  # the launcher is warm from here on
    for script, bare in (("hello.R", ["Rscript", "hello.R"]), ("hello.py", [sys.executable, "hello.py"])):
        peer = (f"{Path(bare[0]).name} {script}", partial(first_output, bare, work))
        row(
            f"`offload run {script}`, first line",
            partial(first_output, [OFFLOAD, "run", script], work),
            peer,
        )
    row("`offload --help`", lambda: seconds([OFFLOAD, "--help"], work))
    row("`offload jobs`", lambda: seconds([OFFLOAD, "jobs"], work))


def sending(work: Path) -> None:
    """A working directory of 5,000 files and 200 MB: again without a change, and after an edit."""
    chooser = random.Random(1)
    project = work / "project"
    for number in range(FILES):
        path = project / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chooser.randbytes(FILE_SIZE))
    seconds([OFFLOAD, "run", "-d", "--", "true"], project)
    copy = work / "copy"
    row(
        "5,000 files, 200 MB, unchanged: `offload run -d`",
        lambda: seconds([OFFLOAD, "run", "-d", "--", "true"], project),
        ("rsync -a", lambda: seconds(["rsync", "-a", f"{project}/", f"{copy}/"], work)),
    )


def idle_memory() -> None:
    """Resident memory of this run's launcher."""
    for entry in Path("/proc").iterdir():
        try:
            mine = os.environ["OFFLOAD_HOME"].encode() in (entry / "environ").read_bytes()
            if mine and b"offload.server" in (entry / "cmdline").read_bytes():
                lines = (entry / "status").read_text().splitlines()
                print(
                    "| launcher, resident memory |",
                    next(x for x in lines if "VmRSS" in x)[6:].strip(),
                    "| | |",
                )
        except OSError:
            continue


def main() -> None:
    """Measure everything in a place of its own."""
    work = Path(tempfile.mkdtemp(prefix="offload-bench-"))
    os.environ["OFFLOAD_HOME"] = str(work / "home")
    scratch = work / "work"
    scratch.mkdir()
    print("| what | Offload | peer | ratio |\n|---|---|---|---|")
    try:
        start_up(scratch)
        sending(work)
        idle_memory()
    finally:
        subprocess.run([OFFLOAD, "launcher", "stop", "--force"], check=False, capture_output=True)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
