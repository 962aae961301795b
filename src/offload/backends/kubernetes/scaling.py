"""Which change of a pool's Jobs makes the number of its runners what is wanted. Decided without I/O.

The Job controller has two habits that decide everything here. It ends pods when ``parallelism`` sinks below
their number, also such that work; so the number never sinks below that of the pods that have begun. And it
starts no further pod of a Job without ``completions`` once one of them has succeeded; so a runner that ended
in order closes its Job, those that still run finish their work in it, and what is wanted beyond them gets a
Job of the next generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from offload.backends.kubernetes.names import generation_of
from offload.backends.kubernetes.objects import Job, Pod

_OVERDUE: Final = timedelta(seconds=30)
_OVER = ("Succeeded", "Failed")
_FINISHED = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")


@dataclass(frozen=True, slots=True)
class Create:
    """Make the Job of this generation, with so many runners."""

    generation: int
    runners: int


@dataclass(frozen=True, slots=True)
class Resize:
    """Let an existing Job, as it was read, keep so many runners."""

    job: Job
    runners: int


Change = Create | Resize


def plan_scale(jobs: Sequence[Job], pods: Sequence[Pod], runners: int, now: datetime) -> Change | None:
    """The one change that is due; None when all is as wanted, or when the last Job failed for good.

    Args:
        jobs: of the pool, every generation that there is.
        pods: of the pool.
        runners: how many are wanted; those that ended aren't counted.
        now: by the cluster's clock.
    """
    current = newest(job for job in jobs if is_open(job))
    others = [pod for pod in pods if is_alive(pod) and (current is None or not owned_by(pod, current))]
    wanted = max(0, runners - len(others))
    if current is None:
        last = newest(jobs)
        if wanted == 0 or (last is not None and has_failed(last)):
            return None
        return Create(0 if last is None else _generation(last) + 1, wanted)
    own = [pod for pod in pods if owned_by(pod, current)]
    begun = sum(has_begun(pod) for pod in own if is_alive(pod))
    wanted = max(wanted, begun) + sum(is_overdue(pod, now) for pod in own)
    return None if wanted == current.spec.parallelism else Resize(current, wanted)


def newest(jobs: Iterable[Job]) -> Job | None:
    """The Job of the highest generation."""
    return max(jobs, key=_generation, default=None)


def is_open(job: Job) -> bool:
    """Whether the Job still starts pods."""
    if job.metadata.deletion_timestamp is not None or job.status.succeeded:
        return False
    return not any(one.type in _FINISHED and one.status == "True" for one in job.status.conditions)


def has_failed(job: Job) -> bool:
    """Whether the Job controller gave the Job up, for example because its time was up."""
    return any(one.type == "Failed" and one.status == "True" for one in job.status.conditions)


def is_alive(pod: Pod) -> bool:
    """Whether the pod runs, or may still."""
    return pod.status.phase not in _OVER and pod.metadata.deletion_timestamp is None


def is_overdue(pod: Pod, now: datetime) -> bool:
    """Whether the pod should have ended long ago: its node doesn't tell, and may never again.

    The Job controller waits for such a pod and makes no other in its place, so one more is asked for. Should
    it still run somewhere, it has lost its lease, and nothing is done twice.
    """
    due = pod.metadata.deletion_timestamp
    return due is not None and pod.status.phase not in _OVER and now > due + _OVERDUE


def has_begun(pod: Pod) -> bool:
    """Whether any container of the pod was started, so that it may hold a lease."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return any(one.state.running or one.state.terminated or one.restart_count for one in statuses)


def owned_by(pod: Pod, job: Job) -> bool:
    """Whether the pod is of this very Job."""
    return any(owner.uid == job.metadata.uid for owner in pod.metadata.owner_references)


def _generation(job: Job) -> int:
    return generation_of(job.metadata.name)
