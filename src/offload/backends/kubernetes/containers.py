"""The two containers of a pod: the runner beside the task, and the person's image with the agent in it.

The runner is a *native sidecar*: an init container that goes on. It is there before the task's container
starts, and it is asked to end only after that has ended, so results always find their way home. Its image is
Offload's own. The person's image needs nothing but ``/bin/sh``: the agent comes as an argument.

Kubernetes replaces ``$(NAME)`` and ``$$`` in commands and in values of variables, which a shell script is
full of; every text passes through :func:`literal` for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from offload.backends.contract import Pool
from offload.backends.kubernetes.mounts import Placed
from offload.backends.kubernetes.names import PREFIX
from offload.backends.kubernetes.places import (
    CHECKPOINTS,
    HOME,
    PRIVATE,
    SHARED,
    SHM,
    TEMPORARY,
    TOKEN,
)
from offload.backends.kubernetes.profiles import Amounts, Profile
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.wire import runner_place

TASK: Final = "task"
RUNNER: Final = "runner"
_START: Final = f"{runner_place.RUNNER}=${{POD_NAME#{PREFIX}}} exec python3 -P -m offload.runner"
_RUNNER_CPUS: Final = 0.1
_RUNNER_MEMORY: Final = 256 << 20
_RUNNER_DISK: Final = 1 << 30
_DISK: Final = 10 << 30
_DISK_REQUEST: Final = 1 << 30
"""What is asked for where nobody says: the job's files are rarely larger, and nodes are often small."""
SANDBOX: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What no container of ours may do."""


def task_container(
    pool: Pool,
    settings: KubernetesSettings,
    profile: Profile,
    size: Amounts,
    *,
    place: str,
    mounts: Sequence[tuple[str, Placed]],
) -> dict[str, Any]:
    """The person's image, with the agent as its first process.

    Args:
        pool: whose.
        settings: of the cluster.
        profile: of the job.
        size: of one task.
        place: where the working directory lies.
        mounts: names of volumes, with what is mounted of them.
    """
    return {
        "name": TASK,
        "image": pool.image or settings.any_image,
        **pulled(settings),
        "command": ["/bin/sh", "-c", literal(agent_text()), "agent"],
        # An image may name a directory here that only root can enter.
        "workingDir": SHARED,
        "env": _task_env(pool, settings),
        "resources": _task_resources(settings, profile, size),
        "securityContext": {**SANDBOX, "readOnlyRootFilesystem": settings.security.read_only_root},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "shared", "mountPath": SHARED},
            {"name": "files", "mountPath": place},
            {"name": "tmp", "mountPath": TEMPORARY},
            {"name": "shm", "mountPath": SHM},
            *(_mounted(volume, placed) for volume, placed in mounts),
        ],
    }


def runner_container(
    pool: Pool, settings: KubernetesSettings, profile: Profile, place: str
) -> dict[str, Any]:
    """The runner, as a native sidecar; ``place`` is where the working directory lies."""
    limit = {"cpu": cpu_quantity(_RUNNER_CPUS)} if _limits_cpus(settings, profile) else {}
    memory = {"memory": str(_RUNNER_MEMORY)}
    return {
        "name": RUNNER,
        "restartPolicy": "Always",
        "image": settings.runner_image,
        **pulled(settings),
        "command": ["/bin/sh", "-c", literal(_START)],
        "env": _runner_env(pool, place),
        "resources": {
            "requests": {"cpu": cpu_quantity(_RUNNER_CPUS), **memory, "ephemeral-storage": str(64 << 20)},
            "limits": {**limit, **memory, "ephemeral-storage": str(_RUNNER_DISK)},
        },
        "securityContext": {**SANDBOX, "readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "shared", "mountPath": SHARED},
            {"name": "files", "mountPath": place},
            {"name": "private", "mountPath": PRIVATE},
            {"name": "token", "mountPath": TOKEN, "readOnly": True},
        ],
    }


@cache
def agent_text() -> str:
    """The agent: a POSIX shell script."""
    return files("offload").joinpath("languages/agent.sh").read_text(encoding="utf-8")


def literal(text: str) -> str:
    """A text that Kubernetes passes on as it is."""
    return text.replace("$", "$$")


def cpu_quantity(cpus: float) -> str:
    """CPUs in thousandths, at least one: ``500m``."""
    return f"{max(1, round(cpus * 1000))}m"


def _task_env(pool: Pool, settings: KubernetesSettings) -> list[dict[str, Any]]:
    # A user without an entry in the image's /etc/passwd has a name by these alone.
    plain = {"HOME": HOME, "USER": pool.user, "LOGNAME": pool.user}
    secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for name, one in settings.secrets.items()
    ]
    return [{"name": name, "value": literal(value)} for name, value in plain.items()] + secrets


def _runner_env(pool: Pool, place: str) -> list[dict[str, Any]]:
    plain = {
        runner_place.LAUNCHER: pool.launcher,
        runner_place.TOKEN_FILE: f"{TOKEN}/token",
        runner_place.DIRECTORY: PRIVATE,
        runner_place.CHECKPOINTS: CHECKPOINTS,
        runner_place.FILES: place,
        runner_place.AGENT: SHARED,
        "TMPDIR": PRIVATE,
    }
    if pool.certificate:
        plain[runner_place.CERTIFICATE_FILE] = f"{TOKEN}/certificate"
    name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [name] + [{"name": key, "value": literal(value)} for key, value in plain.items()]


def _task_resources(settings: KubernetesSettings, profile: Profile, size: Amounts) -> dict[str, Any]:
    cpu = cpu_quantity(size.cpus or 1.0)
    disk = size.ephemeral_storage
    most = profile.maximum.over(settings.maximum).ephemeral_storage or _DISK
    limit = disk or min(_DISK, most)
    both = {"memory": str(size.memory)} if size.memory else {}
    if size.gpus:
        both[profile.gpu_resource] = str(size.gpus)
    limits = {**both, "ephemeral-storage": str(limit)}
    if _limits_cpus(settings, profile):
        limits["cpu"] = cpu
    return {
        "requests": {"cpu": cpu, **both, "ephemeral-storage": str(disk or min(_DISK_REQUEST, limit))},
        "limits": limits,
    }


def _limits_cpus(settings: KubernetesSettings, profile: Profile) -> bool:
    return settings.cpu_limit if profile.cpu_limit is None else profile.cpu_limit


def _mounted(volume: str, placed: Placed) -> dict[str, Any]:
    mounted: dict[str, Any] = {"name": volume, "mountPath": placed.path}
    if placed.mount.read_only:
        mounted["readOnly"] = True
    if placed.mount.sub_path:
        mounted["subPath"] = placed.mount.sub_path
    return mounted


def pulled(settings: KubernetesSettings) -> dict[str, str]:
    """When an image is pulled, where the settings say so."""
    return {"imagePullPolicy": settings.image_pull_policy} if settings.image_pull_policy else {}
