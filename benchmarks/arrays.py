"""K2 and K3: many tasks of one second on four runners, beside an Indexed Job of four pods at a time."""

from __future__ import annotations

import time
from collections import Counter

from benchmarks.peers import completed, create_job, remove
from benchmarks.rig import CLUSTER, SMALL, Bench, bench, wait_until
from cluster import audit

RUNNERS = 4


def arrays(tasks: int, completions: int) -> None:
    """Measure, and print the rows of K2 and K3.

    Args:
        tasks: of Offload's array.
        completions: of the Indexed Job, which takes several seconds for each of them.
    """
    with bench({"max_runners": RUNNERS, **SMALL}) as found:
        since = audit.position()
        ours = _array(found, tasks) / (tasks / RUNNERS)
        _wait_for_quiet(found)
        user = f"system:serviceaccount:{found.namespace}:offload"
        asked = Counter(one.verb for one in audit.requests(since, namespace=found.namespace, user=user))
        # Not before: the kubelet clears away its pods for minutes.
        peer = _indexed(found, completions) / (completions / RUNNERS)
    print(
        f"| {tasks:,} tasks of 1 s on {RUNNERS} runners: makespan / ideal | {ours:.3f} "
        f"| Indexed Job, {completions} completions: {peer:.2f} | {ours / peer:.2f} |"
    )
    each = sum(asked.values()) / tasks
    verbs = ", ".join(f"{verb} {count}" for verb, count in sorted(asked.items()))
    print(f"| requests to the API server per task | {each:.3f} ({verbs}) | | |")
    made = 2 + RUNNERS
    print(
        f"| objects made per task (1 Secret, 1 Job, {RUNNERS} pods) | {made / tasks:.3f} | 1.0 | |",
        flush=True,
    )


def _array(found: Bench, tasks: int) -> float:
    words = ("--on", CLUSTER, "--cpus", "0.1", "--memory", "64Mi", "--array", f"1-{tasks}")
    began = time.perf_counter()
    found.person.offload("run", *words, "--", "sleep", "1", timeout=tasks * 2 + 60)
    return time.perf_counter() - began


def _wait_for_quiet(found: Bench) -> None:
    """Wait until the job's pool is released, so that all of its requests are counted."""
    log = found.home / "launcher.log"
    wait_until(lambda: "Release()" in log.read_text(), what="the release of the pool")


def _indexed(found: Bench, completions: int) -> float:
    spec = {"completionMode": "Indexed", "completions": completions, "parallelism": RUNNERS}
    began = time.perf_counter()
    create_job(found, "indexed", ["sleep", "1"], spec=spec)
    took = completed(found, "indexed", began, completions * 10)
    remove(found, "indexed")
    return took
