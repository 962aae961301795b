"""The pod of a runner, as the template that its Job holds. Pure: the pool and the settings decide.

It has what the *restricted* Pod Security Standard asks for, works as any user that its containers share,
and needs no service account. The runner's token and its own directory are in its container alone;
files, answers and checkpoints are in both. All of that is on volumes of the node that go with the pod.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from offload.backends.contract import Pool
from offload.backends.kubernetes.admission import amounts_of, profile_of
from offload.backends.kubernetes.containers import runner_container, task_container
from offload.backends.kubernetes.mounts import Mount, Placed, place
from offload.backends.kubernetes.names import secret_name
from offload.backends.kubernetes.patch import merge
from offload.backends.kubernetes.places import files_place
from offload.backends.kubernetes.profiles import Amounts, Profile
from offload.backends.kubernetes.security import Security
from offload.backends.kubernetes.settings import KubernetesSettings

STAGE_OUT: Final = 60
"""Seconds beyond the task's own grace, for the results to go home."""
UNDISTURBED: Final[Mapping[str, str]] = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""Tidying up nodes is no reason to end a task that has run for hours."""


def pod_template(
    pool: Pool, settings: KubernetesSettings, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """The template of a pool's pods, with the settings' patch applied.

    Raises:
        UsageError: the settings don't have a profile or mount of the pool any more.
    """
    profile = profile_of(settings, pool.profile)
    placed = place(settings.mounts, pool.mounts, pool.user)
    template = {
        "metadata": {"labels": dict(labels), "annotations": {**annotations, **UNDISTURBED}},
        "spec": _spec(pool, settings, profile, placed),
    }
    return merge(template, settings.pod)


def _spec(
    pool: Pool, settings: KubernetesSettings, profile: Profile, placed: Sequence[Placed]
) -> dict[str, Any]:
    size = amounts_of(settings, profile, pool.resources)
    where = files_place(pool.home, [one.path for one in placed])
    sources = _sources(placed)
    mounts = [(_volume_of(one.mount, sources), one) for one in placed]
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(pool.grace) + STAGE_OUT,
        "securityContext": security_context(settings.security),
        **_placement(settings, profile, size),
        "initContainers": [runner_container(pool, settings, profile, where)],
        "containers": [task_container(pool, settings, profile, size, place=where, mounts=mounts)],
        "volumes": [
            *({"name": name, "emptyDir": {}} for name in ("shared", "files", "private", "tmp")),
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(size.memory)}},
            {"name": "token", "secret": _token(pool, settings.security)},
            *({"name": name, **source} for name, source in sources.items()),
        ],
    }


def _token(pool: Pool, security: Security) -> dict[str, Any]:
    # Only the runner's container has the volume. Without a group of volumes the file belongs to root.
    return {"secretName": secret_name(pool.id), "defaultMode": 0o444 if security.fs_group is None else 0o440}


def security_context(security: Security) -> dict[str, Any]:
    """As whom all containers of a pod run."""
    chosen = {
        "runAsUser": security.run_as_user,
        "runAsGroup": security.run_as_group,
        "fsGroup": security.fs_group,
        # Otherwise each start would walk through all that a large volume holds.
        "fsGroupChangePolicy": None if security.fs_group is None else "OnRootMismatch",
    }
    return {
        "runAsNonRoot": security.run_as_non_root,
        "seccompProfile": {"type": "RuntimeDefault"},
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _placement(settings: KubernetesSettings, profile: Profile, size: Amounts) -> dict[str, Any]:
    tolerations = [dict(one) for one in profile.tolerations]
    if size.gpus:
        # By convention, nodes with GPUs keep everybody else away by a taint of this name.
        tolerations.append({"key": profile.gpu_resource, "operator": "Exists", "effect": "NoSchedule"})
    chosen = {
        "nodeSelector": dict(profile.node_selector),
        "tolerations": tolerations,
        "affinity": profile.affinity,
        "priorityClassName": profile.priority_class,
        "runtimeClassName": profile.runtime_class,
    }
    return {**{name: value for name, value in chosen.items() if value}, **account(settings)}


def account(settings: KubernetesSettings) -> dict[str, Any]:
    """The account of a pod, and the Secrets with which its images are pulled, where the settings say so."""
    chosen = {
        "serviceAccountName": settings.service_account,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
    }
    return {name: value for name, value in chosen.items() if value}


def _sources(placed: Sequence[Placed]) -> dict[str, dict[str, Any]]:
    """The volumes of mounts by name; two mounts of one source share one, as kubelet wants."""
    sources: dict[str, dict[str, Any]] = {}
    for one in placed:
        if (source := _source(one.mount)) not in sources.values():
            sources[f"mount-{one.name}"] = source
    return sources


def _volume_of(mount: Mount, sources: Mapping[str, dict[str, Any]]) -> str:
    return next(name for name, source in sources.items() if source == _source(mount))


def _source(mount: Mount) -> dict[str, Any]:
    if mount.nfs:
        return {"nfs": {"server": mount.nfs.server, "path": mount.nfs.path}}
    if mount.host_path:
        return {"hostPath": {"path": mount.host_path}}
    return {"persistentVolumeClaim": {"claimName": mount.claim}}
