"""Pods that ended, and how."""

from __future__ import annotations

from recording.situation import (
    WAITS,
    Situation,
    asks,
    delete,
    delete_job,
    evict,
    pods,
    script,
    task_of,
    together,
    volume,
)
from recording.things import ended, rooted

ENDING: tuple[Situation, ...] = (
    Situation(
        name="succeeded", story="The runner ended in order", change=script("sleep 1; exit 0"), until=ended
    ),
    Situation(
        name="task_failed",
        story="The container of the script ended with 1",
        change=script("sleep 1; exit 1"),
        until=ended,
    ),
    Situation(
        name="oom_task",
        story="The script's container was killed for want of memory (cgroup v1)",
        change=script("sleep 1; exec tail /dev/zero", memory="16Mi"),
        until=ended,
    ),
    Situation(
        name="oom_process",
        story="A process was killed for want of memory, its container ended in order later (cgroup v1)",
        change=script("sleep 1; tail /dev/zero; sleep 1; exit 0", memory="16Mi"),
        until=ended,
    ),
    Situation(
        name="oom_runner",
        story="The runner was killed for want of memory; then the script was told to end",
        change=together(
            script("sleep 2; exec tail /dev/zero", runner=True, memory="16Mi"), script("sleep 5; exit 1")
        ),
        until=ended,
    ),
    Situation(
        name="disk_full",
        story="The pod wrote more to its disk than it may",
        change=together(
            volume({"emptyDir": {"sizeLimit": "8Mi"}}),
            script("dd if=/dev/zero of=/data/big bs=1M count=64; " + WAITS),
        ),
        until=ended,
        seconds=120,
    ),
    Situation(
        name="disk_of_container_full",
        story="A container wrote more to its own disk than it may",
        change=together(
            asks("ephemeral-storage", "8Mi", tolerates=False),
            rooted,
            lambda job: task_of(job).update(securityContext={}),
            script("dd if=/dev/zero of=/big bs=1M count=64; " + WAITS),
        ),
        restricted=False,
        until=ended,
        seconds=120,
    ),
    Situation(
        name="node_full",
        story="The node has no room left for a pod that was promised it",
        change=together(asks("cpu", "1000"), pods(nodeName="real-0")),
        until=ended,
    ),
    Situation(
        name="pod_deadline",
        story="The pod's own deadline is over",
        change=pods(activeDeadlineSeconds=3),
        until=ended,
    ),
    Situation(name="deleted", story="Somebody deletes the pod", act=delete, until=ended, deleted=True),
    Situation(
        name="job_deleted", story="Somebody deletes the Job", act=delete_job, until=ended, deleted=True
    ),
    Situation(name="evicted_by_api", story="Somebody drains the node", act=evict, until=ended, deleted=True),
)
