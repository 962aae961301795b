"""A script that prints far more than anybody should keep in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK = 1 << 20
BLOCKS = int(os.environ.get("LOG_MEGABYTES", "100"))
"""``LOG_MEGABYTES=1000`` prints a gigabyte."""
PRINT = f"""
import os
for number in range({BLOCKS}):
    os.write(1, b"%015d\\n" % number * {BLOCK // 16})
"""
PATIENCE = 60 + BLOCKS // 5
"""Seconds; a broken chain shall fail, and a slow machine shall not."""
ROOM = 48 << 20
"""Bytes beyond what a process takes at rest; a launcher or a command that kept the output would need more."""


def expected(number: int) -> bytes:
    return b"%015d\n" % number * (BLOCK // 16)


def check_all_of_it(process) -> None:
    """Compare every byte on the way, so that this test needs little memory itself."""
    for number in range(BLOCKS):
        assert process.stdout.read(BLOCK) == expected(number), f"megabyte {number} is another"
    assert process.stdout.read() == b""
    assert process.wait(PATIENCE) == 0, process.stderr.read()


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)


@contextmanager
def watched(pids) -> Iterator[dict[int, int]]:
    """The largest resident set, in bytes, of each process that ``pids()`` names while the body runs."""
    peaks: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for pid in pids():
                try:
                    peaks[pid] = max(peaks.get(pid, 0), resident(pid))
                except OSError:  # it has ended
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def test_a_huge_output_arrives_whole_in_bounded_memory_and_is_replayed(person):
    person.write("big.py", PRINT)
    person.offload("launcher", "start")
    (launcher,) = person.pids_of("server")
    at_rest = resident(launcher)
    with (
        person.start("run", "big.py") as process,
        watched(lambda: (launcher, process.pid, *person.pids_of("runner"))) as peaks,
    ):
        check_all_of_it(process)
    assert len(peaks) == 3
    assert max(peaks.values()) < at_rest + ROOM, peaks
    (job,) = person.json("jobs")["jobs"]
    with person.start("logs", job["id"]) as process:
        check_all_of_it(process)
