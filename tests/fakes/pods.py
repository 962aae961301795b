"""Pods and events of a Kubernetes that is told what to say: as little of them as a test needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from offload.backends.kubernetes.objects import (
    Condition,
    Container,
    ContainerState,
    ContainerStatus,
    Event,
    EventSource,
    Meta,
    ObjectReference,
    Owner,
    Pod,
    PodSpec,
    PodStatus,
    Requirements,
    Running,
    Terminated,
    Waiting,
)
from offload.backends.kubernetes.why import observe

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAME = "offload-k7m2q9x-0-0-abcde"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(
    reason: str, message: str = "", *, seconds: float = 0, count: int = 1, by: str = "kubelet"
) -> Event:
    return Event(
        involved_object=ObjectReference(kind="Pod", name=NAME),
        reason=reason,
        message=message,
        count=count,
        first_timestamp=START,
        last_timestamp=at(seconds),
        source=EventSource(component=by),
    )


def pod(
    *, node: str = "node-1", image: str = "tool:1", runner=None, task=None, requests=None, **status
) -> Pod:
    statuses = {
        "init_container_statuses": (runner,) if runner else (),
        "container_statuses": (task,) if task else (),
    }
    containers = (
        Container(
            name="task",
            image=image,
            resources=Requirements(requests=requests or {}, limits={"memory": "4Gi"}),
        ),
    )
    return Pod(
        metadata=Meta(name=NAME, creation_timestamp=START, uid="p", owner_references=(Owner(uid="j"),)),
        spec=PodSpec(node_name=node, containers=containers),
        status=PodStatus(start_time=START, **{"phase": "Pending", **statuses, **status}),
    )


def container(name: str, restarts: int = 0, last: Terminated | None = None, **state) -> ContainerStatus:
    return ContainerStatus(
        name=name,
        restart_count=restarts,
        state=ContainerState(**state),
        last_state=ContainerState(terminated=last),
    )


def unplaced(message: str, *told: Event, seconds: float = 0, gates=(), requests=None):
    reason = "SchedulingGated" if gates else "Unschedulable"
    condition = Condition(
        type="PodScheduled", status="False", reason=reason, message=message, last_transition_time=START
    )
    one = pod(node="", conditions=(condition,), requests=requests or {"nvidia.com/gpu": "2"})
    spec = PodSpec(containers=one.spec.containers, scheduling_gates=gates)
    return observe(Pod(metadata=one.metadata, spec=spec, status=one.status), told, at(seconds))


def waiting(reason: str, message: str = "", *told: Event, seconds: float = 0, image: str = "tool:1"):
    runner = container("runner", running=Running(started_at=START))
    one = pod(
        image=image, runner=runner, task=container("task", waiting=Waiting(reason=reason, message=message))
    )
    return observe(one, told, at(seconds))
