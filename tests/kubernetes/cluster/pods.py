"""Pods as small as a test wants them, in the form that the *restricted* Pod Security Standard allows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cluster.access import kubectl
from cluster.processes import wait_until

# No image knows this user.
SOMEBODY = 4711
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": SOMEBODY, "seccompProfile": {"type": "RuntimeDefault"}}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def container(name: str, image: str, command: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A container; ``more`` are fields of it, such as ``resources``."""
    entry = {"command": list(command)} if command else {}
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": SECURITY,
        **entry,
        **more,
    }


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The specification of a pod that is never started again; ``more`` are fields of it."""
    fixed = {"restartPolicy": "Never", "securityContext": POD_SECURITY, "terminationGracePeriodSeconds": 2}
    return {**fixed, "containers": list(containers), **more}


def pod(name: str, of: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A pod; ``metadata`` are fields such as ``labels``."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": of}


def job(name: str, of: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A Job that tries once; ``more`` are fields of its specification."""
    whole = {"backoffLimit": 0, "template": {"spec": of}, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole}


def create(namespace: str, *objects: dict[str, Any]) -> None:
    """Create objects in a namespace."""
    for thing in objects:
        kubectl("create", "--namespace", namespace, "--filename=-", given=json.dumps(thing))


def look(namespace: str, kind: str, name: str) -> dict[str, Any]:
    """An object as the API server has it."""
    found: dict[str, Any] = json.loads(kubectl("get", kind, name, "--namespace", namespace, "--output=json"))
    return found


def wait_for_phase(namespace: str, name: str, *phases: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until a pod is in one of these phases; the pod."""
    wait_until(
        f"Pod {name} {' or '.join(phases)}",
        lambda: look(namespace, "pod", name)["status"]["phase"] in phases,
        seconds=seconds,
    )
    return look(namespace, "pod", name)


def logs(namespace: str, name: str, container_name: str | None = None) -> str:
    """What a container printed; ``name`` may be ``job/NAME``."""
    which = ("--container", container_name) if container_name else ()
    return kubectl("logs", "--namespace", namespace, name, *which)
