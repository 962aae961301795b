"""A pool as one Job used as a work queue, and the Secret with its token. Pure: names come from the pool.

The Job has no ``completions``: it keeps ``parallelism`` runners alive until one of them ends in order. What
disturbs a runner from outside (eviction, a drained node) isn't counted against it, and whatever else happens,
Kubernetes itself removes it some minutes after its end, even if no launcher is left to do so.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from offload.backends.contract import Pool
from offload.backends.kubernetes.admission import profile_of
from offload.backends.kubernetes.keys import is_label_value
from offload.backends.kubernetes.names import job_name, labels, owned_by, secret_name
from offload.backends.kubernetes.pod import pod_template
from offload.backends.kubernetes.settings import KubernetesSettings

USER: Final = "offload.dev/user"
NAME: Final = "offload.dev/name"
QUEUE: Final = "kueue.x-k8s.io/queue-name"
_LINGER: Final = 600
"""Seconds for which an ended Job stays, for whoever wants to know why."""
_MANY: Final = 1_000_000
"""Failed runners are the launcher's business: it counts attempts, and knows which aren't charged."""


def build_job(
    pool: Pool, settings: KubernetesSettings, *, launcher: str, generation: int, runners: int
) -> dict[str, Any]:
    """The Job of a pool, complete, for server-side apply.

    Args:
        pool: what is wanted.
        settings: of the cluster.
        launcher: identity of this launcher.
        generation: which Job of the pool.
        runners: how many runners it keeps alive.

    Raises:
        UsageError: the settings don't have a profile or mount of the pool any more.
    """
    own, notes = _labels(pool, launcher), _annotations(pool)
    queue = pool.queue or profile_of(settings, pool.profile).queue or settings.queue
    spec: dict[str, Any] = {
        "parallelism": runners,
        "backoffLimit": _MANY,
        "podFailurePolicy": {"rules": [_undisturbed()]},
        "podReplacementPolicy": "Failed",  # the only one that goes with a podFailurePolicy
        "ttlSecondsAfterFinished": _LINGER,
        "template": pod_template(pool, settings, own, notes),
    }
    if settings.max_lifetime is not None:
        spec["activeDeadlineSeconds"] = max(1, int(settings.max_lifetime))
    if queue:
        spec["suspend"] = True
    named = {**own, QUEUE: queue} if queue else own
    metadata = _metadata(job_name(pool.id, generation), settings, named, notes)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def build_secret(
    pool: Pool, settings: KubernetesSettings, *, launcher: str, owner: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The Secret with a pool's token and the launcher's certificate, complete, for server-side apply.

    Args:
        pool: whose token it is.
        settings: of the cluster.
        launcher: identity of this launcher.
        owner: name and uid of the Job that it goes away with, once there is one.
    """
    metadata = _metadata(secret_name(pool.id), settings, _labels(pool, launcher), _annotations(pool))
    if owner is not None:
        metadata |= owned_by(*owner)
    data = {"token": pool.token, "certificate": pool.certificate}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,  # so that no kubelet has to watch it
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items() if value},
    }


def _metadata(
    name: str, settings: KubernetesSettings, own: dict[str, str], notes: dict[str, str]
) -> dict[str, Any]:
    namespace = {"namespace": settings.namespace} if settings.namespace else {}
    return {"name": name, **namespace, "labels": own, "annotations": notes}


def _labels(pool: Pool, launcher: str) -> dict[str, str]:
    named = {USER: pool.user} if pool.user and is_label_value(pool.user) else {}
    return {**labels(pool.id, launcher), **named}


def _annotations(pool: Pool) -> dict[str, str]:
    return {USER: pool.user, NAME: pool.name}


def _undisturbed() -> dict[str, Any]:
    condition = {"type": "DisruptionTarget", "status": "True"}
    return {"action": "Ignore", "onPodConditions": [condition]}
