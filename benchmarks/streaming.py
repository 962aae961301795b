"""Output on its way: how late a line is while a script prints, and how fast a script may print."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.table import OFFLOAD, row

LINES, RATE = 100_000, 10_000
STAMPED = f"""
import os, time
began = time.monotonic()
for number in range({LINES}):
    while (early := began + number / {RATE} - time.monotonic()) > 0:
        time.sleep(early)
    os.write(1, b"%d %d\\n" % (number, time.monotonic_ns()))
"""
"""Each line says when it was printed; all processes of a machine share the monotonic clock."""
MEBIBYTES = 500
FAST = f"""
import os
block = b"".join(b"%015d\\n" % number for number in range(65536))
for _ in range({MEBIBYTES}):
    os.write(1, block)
"""
"""Blocks of 1 MiB."""
BARE = [sys.executable]
OURS = [OFFLOAD, "run"]


def lag(work: Path) -> None:
    """How late lines are at 10,000 a second: 99 of 100 are no later than this, and all are in order."""
    (work / "stamped.py").write_text(STAMPED)
    row(
        f"{RATE:,} lines/s, p99 of a line's lag",
        lambda: p99(lags([*OURS, "stamped.py"], work)),
        ("a pipe", lambda: p99(lags([*BARE, "stamped.py"], work))),
        unit="ms",
        digits=1,
        rounds=3,
    )


def p99(values: list[float]) -> float:
    """Only one in a hundred is larger."""
    return statistics.quantiles(values, n=100)[98]


def lags(command: list[str], work: Path) -> list[float]:
    """Milliseconds from printing a line to reading it; every line is there, in order."""
    arrived: list[tuple[int, bytes]] = []
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            arrived.append((time.monotonic_ns(), piece))
    assert process.returncode == 0
    return judged(arrived)


def judged(arrived: list[tuple[int, bytes]]) -> list[float]:
    found: list[float] = []
    rest = b""
    for at, piece in arrived:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            number, printed = map(int, line.split())
            assert number == len(found), "a line is lost or out of order"
            found.append((at - printed) / 1e6)
    assert (len(found), rest) == (LINES, b""), "lines are lost"
    return found


def full_speed(work: Path) -> None:
    """Megabytes a second between the first and the last byte, all of which must be there."""
    (work / "fast.py").write_text(FAST)
    row(
        f"{MEBIBYTES} MiB at full speed",
        lambda: speed([*OURS, "fast.py"], work),
        ("script &#124; cat", lambda: speed(["sh", "-c", f"{sys.executable} fast.py | cat"], work)),
        unit="MB/s",
        digits=0,
    )


def speed(command: list[str], work: Path) -> float:
    """Megabytes a second of a command's output."""
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE) as process:
        assert process.stdout
        size = len(os.read(process.stdout.fileno(), 1 << 20))
        began = time.perf_counter()
        while piece := len(os.read(process.stdout.fileno(), 1 << 20)):
            size += piece
        took = time.perf_counter() - began
    assert size == MEBIBYTES << 20, "bytes are lost"
    return size / took / 1e6
