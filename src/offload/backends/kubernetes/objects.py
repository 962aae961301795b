"""What Offload reads of Kubernetes objects, and nothing else of them.

The API server sends twenty times more than this. Decoding only what is looked at keeps a watch on a thousand
pods cheap. Every field has a default and words stay words: what a newer Kubernetes says is never an error.

Source: the API reference of Kubernetes 1.35, ``core/v1``, ``batch/v1`` and ``meta/v1``.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field


class _Object(Struct, rename="camel", frozen=True, kw_only=True):
    """Field names as Kubernetes writes them; what isn't named here is skipped."""


class Owner(_Object, frozen=True):
    """One entry of ``metadata.ownerReferences``."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Meta(_Object, frozen=True):
    """``ObjectMeta``."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    owner_references: tuple[Owner, ...] = ()


class Waiting(_Object, frozen=True):
    """``ContainerStateWaiting``."""

    reason: str = ""
    message: str = ""


class Running(_Object, frozen=True):
    """``ContainerStateRunning``."""

    started_at: datetime | None = None


class Terminated(_Object, frozen=True):
    """``ContainerStateTerminated``."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(_Object, frozen=True):
    """One of the three is set."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Object, frozen=True):
    """``ContainerStatus``."""

    name: str = ""
    image: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)


class Condition(_Object, frozen=True):
    """A condition of a pod, a Job or a node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Requirements(_Object, frozen=True):
    """``ResourceRequirements``; quantities as written."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class Container(_Object, frozen=True):
    """``Container``; an init container with ``restart_policy`` ``Always`` runs beside the others."""

    name: str = ""
    image: str = ""
    restart_policy: str = ""
    resources: Requirements = field(default_factory=Requirements)


class SchedulingGate(_Object, frozen=True):
    """``PodSchedulingGate``."""

    name: str = ""


class PodSpec(_Object, frozen=True):
    """``PodSpec``."""

    node_name: str = ""
    node_selector: dict[str, str] = {}
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = ()
    scheduling_gates: tuple[SchedulingGate, ...] = ()


class PodStatus(_Object, frozen=True):
    """``PodStatus``."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    start_time: datetime | None = None


class Pod(_Object, frozen=True):
    """A ``v1`` Pod."""

    metadata: Meta = field(default_factory=Meta)
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class JobSpec(_Object, frozen=True):
    """``JobSpec``."""

    parallelism: int = 1
    suspend: bool = False


class JobStatus(_Object, frozen=True):
    """``JobStatus``."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    conditions: tuple[Condition, ...] = ()
    start_time: datetime | None = None


class Job(_Object, frozen=True):
    """A ``batch/v1`` Job."""

    metadata: Meta = field(default_factory=Meta)
    spec: JobSpec = field(default_factory=JobSpec)
    status: JobStatus = field(default_factory=JobStatus)


class ObjectReference(_Object, frozen=True):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(_Object, frozen=True):
    """How often the same event came, told in the new way."""

    count: int = 0
    last_observed_time: datetime | None = None


class EventSource(_Object, frozen=True):
    """Who wrote an event in the old way."""

    component: str = ""


class Event(_Object, frozen=True):
    """A ``v1`` Event. ``event_time`` or ``last_timestamp`` is set, depending on who wrote it."""

    metadata: Meta = field(default_factory=Meta)
    involved_object: ObjectReference = field(default_factory=ObjectReference)
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    source: EventSource = field(default_factory=EventSource)
    reporting_component: str = ""


class Taint(_Object, frozen=True):
    """A taint of a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(_Object, frozen=True):
    """``NodeSpec``."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(_Object, frozen=True):
    """``NodeStatus``; quantities as written."""

    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class Node(_Object, frozen=True):
    """A ``v1`` Node; most launchers may not read any."""

    metadata: Meta = field(default_factory=Meta)
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class Listing(_Object, frozen=True):
    """``metadata`` of a list: where a watch goes on, and where the next page begins."""

    resource_version: str = ""
    continue_: str = field(default="", name="continue")


class ServiceSpec(_Object, frozen=True):
    """``ServiceSpec``."""

    cluster_ip: str = field(name="clusterIP", default="")


class Service(_Object, frozen=True):
    """``Service``."""

    metadata: Meta = field(default_factory=Meta)
    spec: ServiceSpec = field(default_factory=ServiceSpec)
