"""The same with kubectl alone: a Job, its log, and what a person types to get at them.

``kubectl logs --follow`` refuses a container that has not started, so it is asked again at once until it
doesn't: nobody types that fast. Results can't come home that way at all; what is timed is the end of the log.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.rig import IMAGE, Bench, objects, wait_until
from cluster import programs
from cluster.access import foreign
from cluster.places import CACHE


def kubectl(found: Bench) -> list[str]:
    """The command line, with the person's rights."""
    program = "kubectl" if foreign() else str(programs.kubectl())
    fixed = ["--cache-dir", str(CACHE / "kubectl"), "--kubeconfig", str(found.kubeconfig)]
    return [program, *fixed, "--namespace", found.namespace]


def create_job(
    found: Bench,
    name: str,
    command: list[str],
    *,
    memory: str = "64Mi",
    spec: Mapping[str, Any] | None = None,
) -> None:
    """``kubectl create``: a Job whose pods have the same image and size as Offload's tasks."""
    container = {
        "name": "task",
        "image": IMAGE,
        "command": command,
        "resources": {"requests": {"cpu": "0", "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {**(spec or {}), "template": {"spec": pod}},
    }
    words = [*kubectl(found), "create", "-f", "-"]
    subprocess.run(words, input=json.dumps(job).encode(), check=True, capture_output=True)


def follow(found: Bench, name: str, began: float) -> tuple[float, float]:
    """Seconds since ``began`` until the first byte of a Job's log, and until its end."""
    words = [*kubectl(found), "logs", "--follow", f"job/{name}"]
    while True:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            if process.stdout.read(1):
                first = time.perf_counter() - began
                process.stdout.read()
                return first, time.perf_counter() - began


def completed(found: Bench, name: str, began: float, seconds: float) -> float:
    """Seconds since ``began`` until all pods of a Job have succeeded."""
    words = ("wait", "--for=condition=complete", f"job/{name}", f"--timeout={seconds:.0f}s")
    subprocess.run([*kubectl(found), *words], check=True, capture_output=True)
    return time.perf_counter() - began


def remove(found: Bench, name: str) -> None:
    """Delete a Job, and wait until nothing of it takes room."""
    subprocess.run([*kubectl(found), "delete", "job", name], check=True, capture_output=True)
    wait_until(lambda: not pods_of(found, name), seconds=60, what="the end of the pods")


def pods_of(found: Bench, job: str) -> list[str]:
    """Names of the pods of a Job."""
    label = "batch.kubernetes.io/job-name"
    pods = (pod["metadata"] for pod in objects(found, "pods"))
    return [pod["name"] for pod in pods if pod["labels"].get(label) == job]
