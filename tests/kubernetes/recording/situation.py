"""Situations that a runner's pod gets into, and how to bring each of them about on a real cluster.

A situation begins with a Job as Offload makes them, in short: a container ``runner`` that runs beside a
container ``task``, both of the busybox image. It changes that Job, adds objects, does something once the pod
is there, and is over when what was waited for can be seen in the pod, the Job or the events.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.access import kubectl
from cluster.simulated import TOLERATION

Json = dict[str, Any]
JOB = "offload-k7m2q9x-0-0"
LABELS = {
    "app.kubernetes.io/managed-by": "offload",
    "offload.dev/launcher": "recorder00",
    "offload.dev/pool": "k7m2q9x-0",
    "offload.dev/job": "k7m2q9x",
}
BUSYBOX = "localhost/offload-test-busybox:test"
NO_SHELL = "localhost/offload-test-noshell:test"
WAITS = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Seen:
    """What the API server tells of a situation now."""

    job: Json | None
    pods: list[Json]
    events: list[Json]

    @property
    def pod(self) -> Json:
        """The first pod; empty when there is none."""
        return self.pods[0] if self.pods else {}

    def status(self, container: str) -> Json:
        """The status of a container; empty when there is none."""
        status = self.pod.get("status", {})
        every = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
        return next((one for one in every if one["name"] == container), {})

    def waits(self, container: str) -> str:
        """The word with which a container waits."""
        return self.status(container).get("state", {}).get("waiting", {}).get("reason", "")

    def down(self, container: str) -> bool:
        """Whether a container was started before and doesn't run now; that is told in two ways."""
        state = self.status(container).get("state", {})
        return "terminated" in state or self.waits(container) == "CrashLoopBackOff"

    def has_event(self, reason: str, part: str = "") -> bool:
        """Whether there is an event with this reason, and these words in its message."""
        return any(one["reason"] == reason and part in one.get("message", "") for one in self.events)

    def condition(self, kind: str) -> Json:
        """A true condition of the Job or the pod; empty when there is none."""
        every = self.pod.get("status", {}).get("conditions", []) + (self.job or {}).get("status", {}).get(
            "conditions", []
        )
        return next((one for one in every if one["type"] == kind and one["status"] == "True"), {})

    @property
    def runs(self) -> bool:
        """Whether both containers run."""
        return all("running" in self.status(name).get("state", {}) for name in ("runner", "task"))

    @property
    def phase(self) -> str:
        """The pod's phase."""
        return self.pod.get("status", {}).get("phase", "")


Check = Callable[[Seen], bool]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Something that happens to a runner.

    Attributes:
        name: the name of its recording.
        story: what it is.
        until: true once it can be seen.
        change: makes the Job what it has to be.
        objects: what has to be in the namespace first.
        once: when ``act`` is due.
        act: done once, with the namespace and the name of the pod.
        deleted: it is over when the pod is deleted; its last state is kept.
        writes: an event that is written by hand, as its author isn't there: reason, message, component.
        nodes: simulated nodes that it needs for itself, with their resources.
        silences: whether these nodes fall silent once it is due.
        restricted: whether the namespace enforces the restricted Pod Security Standard.
        seconds: that it may take.
    """

    name: str
    story: str
    until: Check
    change: Callable[[Json], None] = lambda _: None
    objects: tuple[Json, ...] = ()
    once: Check = lambda seen: seen.runs
    act: Callable[[str, str], None] | None = None
    deleted: bool = False
    writes: tuple[str, str, str] | None = None
    nodes: Mapping[str, Json] = field(default_factory=dict)
    silences: bool = False
    restricted: bool = True
    seconds: float = 60


def base_job() -> Json:
    """The Job that every situation begins with."""
    requests = {"cpu": "50m", "memory": "32Mi"}
    runner = _container("runner", WAITS) | {"restartPolicy": "Always", "resources": _limited(requests)}
    task = _container("task", WAITS) | {"resources": _limited(requests)}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
        "initContainers": [runner],
        "containers": [task],
    }
    spec = {
        "parallelism": 1,
        "backoffLimit": 1000,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
            ]
        },
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": JOB, "labels": dict(LABELS)},
        "spec": spec,
    }


def _container(name: str, script: str) -> Json:
    return {
        "name": name,
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "securityContext": copy.deepcopy(SAFE),
    }


def _limited(requests: Mapping[str, str]) -> Json:
    return {"requests": dict(requests), "limits": {"memory": requests["memory"]}}


# --- changes of the Job -----------------------------------------------------------------------------


def pod_spec(job: Json) -> Json:
    """The spec of the Job's pods."""
    return job["spec"]["template"]["spec"]


def task_of(job: Json) -> Json:
    """The container with the person's image."""
    return pod_spec(job)["containers"][0]


def runner_of(job: Json) -> Json:
    """The container with the runner."""
    return pod_spec(job)["initContainers"][0]


def asks(resource: str, quantity: str, *, tolerates: bool = True) -> Callable[[Json], None]:
    """The task asks for this much; simulated nodes are tolerated, so that all nodes count."""

    def change(job: Json) -> None:
        resources = task_of(job)["resources"]
        resources["requests"][resource] = quantity
        if resource != "cpu":
            resources["limits"][resource] = quantity
        if tolerates:
            pod_spec(job)["tolerations"] = [TOLERATION]

    return change


def image(name: str, *, policy: str = "IfNotPresent") -> Callable[[Json], None]:
    """The task runs in this image."""

    def change(job: Json) -> None:
        task_of(job).update(image=name, imagePullPolicy=policy)

    return change


def script(text: str, *, runner: bool = False, memory: str = "") -> Callable[[Json], None]:
    """The task, or the runner, executes this."""

    def change(job: Json) -> None:
        container = runner_of(job) if runner else task_of(job)
        container["command"] = ["/bin/sh", "-c", text]
        if memory:
            container["resources"] = _limited({"cpu": "50m", "memory": memory})

    return change


def spec(**fields: Any) -> Callable[[Json], None]:
    """The Job has these fields."""
    return lambda job: job["spec"].update(fields)


def pods(**fields: Any) -> Callable[[Json], None]:
    """The Job's pods have these fields."""
    return lambda job: pod_spec(job).update(fields)


def volume(source: Json) -> Callable[[Json], None]:
    """The task has this volume at ``/data``."""

    def change(job: Json) -> None:
        pod_spec(job)["volumes"] = [{"name": "data", **source}]
        task_of(job)["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]

    return change


def secret_variable(secret: str, key: str) -> Callable[[Json], None]:
    """The task has a variable of the environment out of a Secret."""

    def change(job: Json) -> None:
        source = {"secretKeyRef": {"name": secret, "key": key}}
        task_of(job)["env"] = [{"name": "PASSWORD", "valueFrom": source}]

    return change


def together(*changes: Callable[[Json], None]) -> Callable[[Json], None]:
    """Several changes, in this order."""

    def change(job: Json) -> None:
        for one in changes:
            one(job)

    return change


def on_node(name: str, **fields: Any) -> Callable[[Json], None]:
    """The pod belongs on this simulated node."""
    selector = {"kubernetes.io/hostname": name}
    return pods(nodeSelector=selector, tolerations=[TOLERATION], **fields)


# --- acts -------------------------------------------------------------------------------------------


def delete(namespace: str, pod: str) -> None:
    """Somebody deletes the pod."""
    kubectl("-n", namespace, "delete", "pod", pod, "--wait=false")


def delete_job(namespace: str, _: str) -> None:
    """Somebody deletes the Job."""
    kubectl("-n", namespace, "delete", "job", JOB, "--wait=false")


def evict(namespace: str, pod: str) -> None:
    """Somebody drains the pod's node."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    kubectl(
        "create",
        "--raw",
        f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction",
        "-f",
        "-",
        given=json.dumps(body),
    )


def remove(node: str) -> Callable[[str, str], None]:
    """The node leaves the cluster."""

    def act(_namespace: str, _pod: str) -> None:
        kubectl("delete", "node", node, "--wait=false")

    return act


def apply(*things: Json) -> Callable[[str, str], None]:
    """More objects come into the namespace."""

    def act(namespace: str, _: str) -> None:
        kubectl(
            "-n",
            namespace,
            "apply",
            "-f",
            "-",
            given=json.dumps({"apiVersion": "v1", "kind": "List", "items": things}),
        )

    return act
