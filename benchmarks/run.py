"""Timings side by side with what one would use instead, in one run, in turn; prints a Markdown table.

Each row is the median of several rounds after a first one that does not count. Offload and its peer take
turns, so a machine that drifts drifts for both. Nothing here is asserted but that no line of output is lost.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.launcher import idle, memory
from benchmarks.streaming import full_speed, lag
from benchmarks.table import OFFLOAD, first_output, row, seconds

FILES, FILE_SIZE = 5000, 40_000


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


def send(project: Path) -> float:
    """Seconds to send the directory and submit a job; the job itself is waited for, but not counted."""
    began = time.perf_counter()
    sent = subprocess.run([OFFLOAD, "run", "-d", "--", "true"], cwd=project, check=True, capture_output=True)
    took = time.perf_counter() - began
    seconds([OFFLOAD, "wait", sent.stdout.decode().strip()], project)
    return took


def write_project(project: Path, seed: int) -> None:
    """5,000 files in 50 folders, 200 MB that nothing compresses."""
    chooser = random.Random(seed)
    for number in range(FILES):
        path = project / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chooser.randbytes(FILE_SIZE))


@contextmanager
def rsync_daemon(work: Path) -> Iterator[str]:
    """The address of an rsync server on the loopback interface that takes files."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = work / "rsync"
    target.mkdir()
    config = work / "rsyncd.conf"
    config.write_text(f"[to]\npath = {target}\nread only = no\nuse chroot = no\nuid = {os.getuid()}\n")
    command = [
        "rsync",
        "--daemon",
        "--no-detach",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--config={config}",
    ]
    with subprocess.Popen(command) as process:
        address = f"rsync://127.0.0.1:{port}/to"
        deadline = time.monotonic() + 10
        while subprocess.run(["rsync", address], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, "the rsync daemon doesn't answer"
        try:
            yield address
        finally:
            process.terminate()


def settle(work: Path) -> None:
    """Bring memory and disk into the same state for whoever is next.

    A virtual machine pays ten times as much for writing into memory that its host hasn't given it yet; what a
    deleted file leaves is given. What was written before is on disk.
    """
    filler = work / "filler"
    with filler.open("wb") as file:
        for _ in range(2 * FILES * FILE_SIZE >> 20):
            file.write(bytes(1 << 20))
    os.sync()
    filler.unlink()


def sending(work: Path) -> None:
    """A working directory of 5,000 files and 200 MB: new, without a change, and after an edit."""
    project = work / "project"
    seeds = itertools.count()

    def new() -> float:
        write_project(project, next(seeds))
        settle(work)
        return send(project)

    def edited() -> float:
        with (project / "d7" / "f7").open("ab") as file:
            file.write(b"one more line\n")
        return send(project)

    with rsync_daemon(work) as address:
        copies = itertools.count()

        def peer(*, fresh: bool) -> float:
            to = f"{address}/{next(copies) if fresh else 0}/"
            settle(work)
            return seconds(["rsync", "-a", f"{project}/", to], work)

        row("5,000 files, 200 MB, all new", new, ("rsync -a over TCP", partial(peer, fresh=True)))
        seconds(["rsync", "-a", f"{project}/", f"{address}/0/"], work)
        row("the same, unchanged", partial(send, project), ("rsync", partial(peer, fresh=False)))
        row("the same, one line added", edited, ("rsync", partial(peer, fresh=False)))


def output(work: Path) -> None:
    """A million lines through the whole chain; every byte is compared."""
    expected = hashlib.sha256("".join(f"line {n} of a million\n" for n in range(1, 1_000_001)).encode())
    command = ["awk", 'BEGIN { for (n = 1; n <= 1000000; n++) print "line " n " of a million" }']

    def ours() -> float:
        began = time.perf_counter()
        done = subprocess.run([OFFLOAD, "run", "--", *command], cwd=work, check=True, capture_output=True)
        took = time.perf_counter() - began
        assert hashlib.sha256(done.stdout).digest() == expected.digest(), "lines were lost or changed"
        return took

    row("1,000,000 lines (28 MB), all of them, in order", ours, ("awk alone", lambda: seconds(command, work)))


def main() -> None:
    """Measure everything in a place of its own."""
    work = Path(tempfile.mkdtemp(prefix="offload-bench-"))
    os.environ["OFFLOAD_HOME"] = str(work / "home")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed Offload isn't compiled at each start
    scratch = work / "work"
    scratch.mkdir()
    print("| what | Offload | peer | ratio |\n|---|---|---|---|")
    try:
        start_up(scratch)
        idle("after start-up rows")
        lag(scratch)
        full_speed(scratch)
        output(scratch)
        memory("after 4 GB of output")
        sending(work)
        idle("after all rows")
    finally:
        subprocess.run([OFFLOAD, "launcher", "stop", "--force"], check=False, capture_output=True)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
