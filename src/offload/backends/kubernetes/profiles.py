"""Amounts and profiles: which size a runner has, and on which machines it may run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from offload.backends.kubernetes.keys import (
    Key,
    cpus,
    flag,
    json_table,
    label_value,
    list_of,
    memory,
    object_name,
    qualified_name,
    read_table,
    table_of,
    whole,
)
from offload.model.resources import Resources, format_cpus, format_gpus, format_memory

NVIDIA: Final = "nvidia.com/gpu"
"""What nearly every cluster calls its GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much of each resource; None where nothing is said."""

    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None
    ephemeral_storage: int | None = None

    def over(self, other: Amounts) -> Amounts:
        """These amounts, and the other's where these say nothing."""
        names = ("cpus", "memory", "gpus", "ephemeral_storage")
        pick = {
            name: getattr(other, name) if getattr(self, name) is None else getattr(self, name)
            for name in names
        }
        return Amounts(**pick)

    def excess(self, most: Amounts) -> Iterator[str]:
        """What of these is more than the most, in words: ``8 CPUs (at most 4)``."""
        if self.cpus is not None and most.cpus is not None and self.cpus > most.cpus:
            yield f"{format_cpus(self.cpus)} (at most {most.cpus:g})"
        if self.memory is not None and most.memory is not None and self.memory > most.memory:
            yield f"{format_memory(self.memory)} memory (at most {format_memory(most.memory)})"
        if self.gpus is not None and most.gpus is not None and self.gpus > most.gpus:
            yield f"{format_gpus(self.gpus)} (at most {most.gpus})"
        disk, limit = self.ephemeral_storage, most.ephemeral_storage
        if disk is not None and limit is not None and disk > limit:
            yield f"{format_memory(disk)} ephemeral storage (at most {format_memory(limit)})"

    @classmethod
    def of(cls, resources: Resources) -> Amounts:
        """What a task asks for."""
        return cls(cpus=resources.cpus, memory=resources.memory, gpus=resources.gpus)


AMOUNTS: Final[Mapping[str, Key]] = {
    "cpus": Key(cpus, "", "CPUs: `4`, `0.5`."),
    "memory": Key(memory, "", "Memory: `8Gi`."),
    "gpus": Key(whole, "", "Whole GPUs."),
    "ephemeral_storage": Key(
        memory, "", "Disk for the job's files, `/tmp` and all else that is written: `50Gi`."
    ),
}
WITHOUT_GPUS: Final = {name: key for name, key in AMOUNTS.items() if name != "gpus"}


def read_amounts(written: Any) -> Amounts:
    """Amounts of any resource."""
    return Amounts(**read_table(AMOUNTS, written))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of a task where nobody says anything; GPUs are given to who asks for them."""

    cpus: float = 1.0
    memory: int = 2 << 30
    ephemeral_storage: int | None = None

    @property
    def amounts(self) -> Amounts:
        """The same as amounts."""
        return Amounts(cpus=self.cpus, memory=self.memory, ephemeral_storage=self.ephemeral_storage)


def read_default(written: Any) -> Size:
    """The size of a task where nobody says anything."""
    return Size(**read_table(WITHOUT_GPUS, written))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A size, and the machines that it is meant for; see :data:`PROFILE`."""

    amounts: Amounts = field(default_factory=Amounts)
    maximum: Amounts = field(default_factory=Amounts)
    gpu_resource: str = NVIDIA
    cpu_limit: bool | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] | None = None
    priority_class: str | None = None
    runtime_class: str | None = None
    queue: str | None = None

    def describe(self) -> str:
        """One line for whoever chooses: ``8 CPUs, 32 GiB, 1 GPU; pool=gpu; queue big``."""
        own = self.amounts
        size = [format_cpus(own.cpus)] if own.cpus else []
        size += [format_memory(own.memory)] if own.memory else []
        size += [f"{own.gpus} GPU{'s' if own.gpus != 1 else ''}"] if own.gpus else []
        rest = [f"{name}={value}" for name, value in self.node_selector.items()]
        rest += [f"queue {self.queue}"] if self.queue else []
        return "; ".join(part for part in (", ".join(size), *rest) if part) or "the cluster's default size"


PROFILE: Final[Mapping[str, Key]] = {
    **AMOUNTS,
    "maximum": Key(
        read_amounts,
        "the cluster's",
        "The most that a job with this profile may ask for: a table like `default`.",
    ),
    "gpu_resource": Key(
        qualified_name,
        NVIDIA,
        "What the cluster calls these GPUs, such as `amd.com/gpu` or `nvidia.com/mig-1g.10gb`.",
    ),
    "cpu_limit": Key(
        flag, "the cluster's", "Whether the kernel holds a task to its CPUs; see `cpu_limit` below."
    ),
    "node_selector": Key(
        table_of(label_value, names=qualified_name), "{}", 'Labels that a node must have: `{ pool = "gpu" }`.'
    ),
    "tolerations": Key(
        list_of(json_table), "[]", "Taints that don't keep a runner away, as Kubernetes writes them."
    ),
    "affinity": Key(json_table, "none", "Affinity, as Kubernetes writes it."),
    "priority_class": Key(object_name, "none", "Name of a PriorityClass."),
    "runtime_class": Key(object_name, "none", "Name of a RuntimeClass."),
    "queue": Key(label_value, "the cluster's", "The Kueue queue in which jobs with this profile wait."),
}
"""The keys of ``[clusters.NAME.profiles.PROFILE]``."""


def read_profile(written: Any) -> Profile:
    """One profile.

    Raises:
        MistakesError: anything in it is wrong.
    """
    values = read_table(PROFILE, written)
    amounts = Amounts(**{name: values.pop(name) for name in AMOUNTS if name in values})
    return Profile(amounts=amounts, **values)
