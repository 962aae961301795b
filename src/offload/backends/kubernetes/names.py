"""Names and labels of everything that is made in a namespace, derived from the pool.

So a step that is repeated after a crash arrives at the same objects, and whoever looks at the namespace can
tell whose they are. Several launchers may share a namespace: each has an identity of its own.
"""

from __future__ import annotations

from typing import Any, Final

from offload.model.ids import PoolId, RunnerId, job_of_pool

PREFIX: Final = "offload-"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LAUNCHER: Final = "offload.dev/launcher"
POOL: Final = "offload.dev/pool"
JOB: Final = "offload.dev/job"


def job_name(pool: PoolId, generation: int) -> str:
    """The Job of a pool.

    A Job used as a work queue starts no further pod once one of its pods has succeeded. A pool that needs
    runners after that gets a Job of the next generation.
    """
    return f"{PREFIX}{pool}-{generation}"


def generation_of(job: str) -> int:
    """Which generation a Job with this name is."""
    return int(job.rpartition("-")[2])


def is_job_of(pool: PoolId, name: str) -> bool:
    """Whether a Job of this name is the pool's: labels alone are easily copied to somebody else's object."""
    return name.startswith(f"{PREFIX}{pool}-") and name[len(f"{PREFIX}{pool}-") :].isdecimal()


def is_pod_of(pool: PoolId, name: str) -> bool:
    """Whether a pod of this name is of one of the pool's Jobs."""
    job, _, end = name.rpartition("-")
    return end.isalnum() and is_job_of(pool, job)


def secret_name(pool: PoolId) -> str:
    """The Secret with the pool's token, shared by the generations."""
    return f"{PREFIX}{pool}"


def runner_of(pod: str) -> RunnerId:
    """The runner in a pod; the pod tells it the same, by cutting the prefix off its own name."""
    return RunnerId(pod.removeprefix(PREFIX))


def pod_of(runner: RunnerId) -> str:
    """The pod of a runner."""
    return f"{PREFIX}{runner}"


def labels(pool: PoolId, launcher: str) -> dict[str, str]:
    """On everything that is made for a pool."""
    return {MANAGED_BY: "offload", LAUNCHER: launcher, POOL: pool, JOB: job_of_pool(pool)}


def owned_by(job: str, uid: str) -> dict[str, Any]:
    """The part of an object's metadata that lets it go when a Job goes."""
    return {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}]}


def selector(launcher: str, pool: PoolId | None = None) -> str:
    """Everything of a launcher, or of one of its pools."""
    own = f"{MANAGED_BY}=offload,{LAUNCHER}={launcher}"
    return own if pool is None else f"{own},{POOL}={pool}"
