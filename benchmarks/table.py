"""Measuring in turn with a peer, and the rows of the table that is printed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

OFFLOAD = str(Path(sys.executable).with_name("offload"))
ROUNDS = 5


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


def row(
    name: str,
    ours: Callable[[], float],
    peer: tuple[str, Callable[[], float]] | None = None,
    *,
    unit: str = "s",
    digits: int = 3,
    rounds: int = ROUNDS,
) -> None:
    """Measure in turn and print one row of the table."""
    pairs = [(ours(), peer[1]() if peer else float("nan")) for _ in range(1 + rounds)][1:]
    mine = f"{statistics.median(pair[0] for pair in pairs):.{digits}f} {unit}"
    if peer is None:
        print(f"| {name} | {mine} | | |", flush=True)
        return
    other = f"{statistics.median(pair[1] for pair in pairs):.{digits}f} {unit}"
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"| {name} | {mine} | {peer[0]}: {other} | {ratio:.2f} |", flush=True)
