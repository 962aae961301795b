"""What the launcher of this run takes when it has nothing to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

IDLE = 30.0
"""Seconds for which the launcher is watched."""


def processes(program: str) -> Iterator[Path]:
    """``/proc/PID`` of each process of a program that belongs to this run."""
    home = os.environ["OFFLOAD_HOME"].encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if program.encode() in (entry / "cmdline").read_bytes() and _is_below(home, entry):
                yield entry
        except OSError:  # it has ended
            continue


def _is_below(home: bytes, entry: Path) -> bool:
    """Whether a process works with the data of this run: a runner has its directory there."""
    return any(home in part for part in (entry / "environ").read_bytes().split(b"\0"))


def launcher() -> Path:
    """``/proc/PID`` of this run's launcher."""
    found = next(processes("offload.server"), None)
    if found is None:
        raise ProcessLookupError("no launcher of this run")
    return found


def memory(when: str) -> None:
    """Resident memory of the launcher and of its fork server, and the share of it that nobody else uses."""
    _print_memory(f"launcher {when}", launcher())
    below = (launcher() / "task" / launcher().name / "children").read_text().split()
    for entry in (Path("/proc") / pid for pid in below):
        if b"offload.runner.forkserver" in (entry / "cmdline").read_bytes():
            _print_memory("its fork server, for five minutes after a job", entry)


def _print_memory(name: str, entry: Path) -> None:
    lines = [line.split() for line in (entry / "smaps_rollup").read_text().splitlines()[1:]]
    size = {line[0]: int(line[1]) / 1000 for line in lines}
    print(f"| {name}, resident (PSS) | {size['Rss:']:.0f} MB ({size['Pss:']:.0f} MB) | | |", flush=True)


def idle(when: str) -> None:
    """Memory, and CPU time over half a minute; the clock of the kernel ticks every 10 ms."""
    memory(when)
    before = ticks()
    time.sleep(IDLE)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    print(f"| launcher {when}, CPU time in {IDLE:.0f} s | {used:.2f} s | | |", flush=True)


def ticks() -> int:
    """CPU time that the launcher has used since its start."""
    fields = (launcher() / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
