"""G: the gateway beside a direct callback, and beside ``kubectl cp`` and ``kubectl exec``, in turn.

What a byte costs is the time of a job that brings many home less that of the same job without. A gateway is
there already when the measurement begins, as for every job but the first.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.arrays import RUNNERS
from benchmarks.peers import create_job, kubectl, pods_of, remove
from benchmarks.rig import CLUSTER, SMALL, THROUGH, Bench, bench, wait_until
from cluster.places import KUBECONFIG

SIZE = 200
"""Megabytes."""
_THERE = "/tmp/large"
_LINE = "x" * 99
_MAKE = "import os; open({name!r}, 'wb').write(os.urandom({size} * 1_000_000))"
_PRINT = f"import sys; [sys.stdout.write('{_LINE}\\n' * 10_000) for _ in range({{size}})]"
Ways = Mapping[str, Callable[[], float]]


def through(rounds: int) -> None:
    """Measure in turn, and print the rows of G."""
    with bench({"max_runners": RUNNERS, **SMALL}) as found:
        found.person.offload(
            "run", "--on", THROUGH, *_SMALL, "--", "true", timeout=120
        )  # the gateway is there
        _hello(found, rounds)
        _bytes(found, "a file of 200 MB comes home", _MAKE, _copied, rounds)
        _bytes(found, "200 MB of output", _PRINT, _shown, rounds)
        _array(found)


_SMALL = ("--cpus", "0.1", "--memory", "64Mi")


def _hello(found: Bench, rounds: int) -> None:
    times = _in_turn({on: partial(_first, found, on) for on in (THROUGH, CLUSTER)}, rounds)
    _row("first line", times[THROUGH], "direct", times[CLUSTER])


def _bytes(found: Bench, what: str, script: str, peer: Callable[[Bench], float], rounds: int) -> None:
    def way(on: str) -> Callable[[], float]:
        return lambda: _python(found, on, script, SIZE) - _python(found, on, script, 0)

    times = _in_turn({THROUGH: way(THROUGH), CLUSTER: way(CLUSTER), "kubectl": lambda: peer(found)}, rounds)
    for name, other in (("direct", CLUSTER), ("kubectl", "kubectl")):
        _row(what, times[THROUGH], name, times[other], SIZE)


def _array(found: Bench, tasks: int = 200) -> None:
    took = {}
    for on in (THROUGH, CLUSTER):
        began = time.perf_counter()
        words = ("run", "--on", on, *_SMALL, "--array", f"1-{tasks}", "--", "sleep", "1")
        found.person.offload(*words, timeout=tasks * 2 + 60)
        took[on] = (time.perf_counter() - began) / (tasks / RUNNERS)
    print(
        f"| {tasks} tasks of 1 s on {RUNNERS} runners: makespan / ideal, through a gateway "
        f"| {took[THROUGH]:.3f} | direct: {took[CLUSTER]:.3f} | {took[THROUGH] / took[CLUSTER]:.2f} |",
        flush=True,
    )


def _in_turn(ways: Ways, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + rounds):
        for name, measure in ways.items():
            took = measure()
            if turn:
                times[name].append(took)
    return times


def _row(what: str, ours: list[float], name: str, theirs: list[float], size: int = 0) -> None:
    """Seconds, or with a ``size`` megabytes per second."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(one / two for one, two in zip(ours, theirs, strict=True))
    shown = [f"{size / took:.0f} MB/s" if size else f"{took:.3f} s" for took in (mine, other)]
    told = 1 / ratio if size else ratio
    print(f"| {what}, through a gateway | {shown[0]} | {name}: {shown[1]} | {told:.2f} |", flush=True)


def _first(found: Bench, on: str) -> float:
    began = time.perf_counter()
    with found.person.start("run", "--on", on, *_SMALL, "--", "echo", "hello") as process:
        assert process.stdout
        process.stdout.read(1)
        took = time.perf_counter() - began
        process.stdout.read()
    return took


def _python(found: Bench, on: str, script: str, size: int) -> float:
    text = script.format(name="large", size=size)
    began = time.perf_counter()
    words = ("run", "--on", on, *_SMALL, "--memory", "1Gi", "--", "python3", "-c", text)
    with found.person.start(*words, stdout=subprocess.DEVNULL) as process:
        assert process.wait(300) == 0
    took = time.perf_counter() - began
    Path(found.person.work / "large").unlink(missing_ok=True)
    return took


def _copied(found: Bench) -> float:
    """``kubectl cp`` of the same file."""
    with _pod(found, _MAKE.format(name=_THERE, size=SIZE)) as pod:
        began = time.perf_counter()
        _kubectl(found, "cp", f"{pod}:{_THERE}", str(found.person.root / "copied"))
        return time.perf_counter() - began


def _shown(found: Bench) -> float:
    """``kubectl exec`` of ``cat``, because ``kubectl logs`` has no more than the last 10 MiB."""
    with _pod(found, f"open({_THERE!r}, 'w').write('{_LINE}\\n' * {10_000 * SIZE})") as pod:
        began = time.perf_counter()
        _kubectl(found, "exec", pod, "--", "cat", _THERE)
        return time.perf_counter() - began


@contextmanager
def _pod(found: Bench, make: str) -> Iterator[str]:
    """A pod that has done this, and waits."""
    ready = f"{_THERE}.ready"
    create_job(
        found,
        "holder",
        ["python3", "-c", f"{make}\nopen({ready!r}, 'w')\nimport time; time.sleep(600)"],
        memory="1Gi",
    )
    try:
        (pod,) = wait_until(lambda: pods_of(found, "holder"), seconds=60)
        wait_until(lambda: _works(found, "exec", pod, "--", "test", "-e", ready), seconds=120)
        yield pod
    finally:
        remove(found, "holder")


def _kubectl(found: Bench, *words: str) -> None:
    """As the administrator: a person's rights neither copy nor execute."""
    program = [kubectl(found)[0], "--kubeconfig", str(KUBECONFIG), "--namespace", found.namespace]
    subprocess.run([*program, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _works(found: Bench, *words: str) -> bool:
    try:
        _kubectl(found, *words)
    except subprocess.CalledProcessError:
        return False
    return True
