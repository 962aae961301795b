"""Kubernetes' quantities, read and put into words: ``500m`` of ``cpu`` is half a CPU."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from offload.backends.kubernetes.objects import Container, PodSpec
from offload.model.resources import format_cpus, format_memory

_FACTORS: Final = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?)([eE][+-]?[0-9]{1,2}|[A-Za-z]{0,2})", re.ASCII)
_BYTES: Final = {"memory": " of memory", "ephemeral-storage": " of disk", "storage": " of storage"}
_PREFIXES: Final = ("requests.", "limits.")


def read_quantity(text: str) -> float | None:
    """The number that ``1500m``, ``8Gi`` or ``1e3`` stands for; None when it is none of these."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix[1:].lstrip("+-").isdigit():
        return float(number + suffix)
    factor = _FACTORS.get(suffix)
    return None if factor is None else float(number) * factor


def amount(resource: str, quantity: float) -> str:
    """``2 GPUs``, ``8 CPUs``, ``32 GiB of memory``, ``3 of example.com/fpga``."""
    name = bare(resource)
    if not math.isfinite(quantity):
        return f"an unknown amount of {name}"
    if name == "cpu":
        return format_cpus(quantity)
    if name in _BYTES:
        return f"{format_memory(quantity)}{_BYTES[name]}"
    if name == "pods":
        return f"room for {quantity:g} {'pod' if quantity == 1 else 'pods'}"
    if name.endswith(("/gpu", "gpus")):
        return f"{quantity:g} {'GPU' if quantity == 1 else 'GPUs'}"
    return f"{quantity:g} of {name}"


def noun(resource: str) -> str:
    """``CPUs``, ``memory``, ``disk``, ``GPUs``, or the name that Kubernetes has."""
    name = bare(resource)
    if name in _BYTES:
        return _BYTES[name].removeprefix(" of ")
    if name.endswith(("/gpu", "gpus")):
        return "GPUs"
    return {"cpu": "CPUs"}.get(name, name)


def bare(resource: str) -> str:
    """``nvidia.com/gpu`` of ``requests.nvidia.com/gpu``, which is how quotas call it."""
    for prefix in _PREFIXES:
        resource = resource.removeprefix(prefix)
    return resource


def number(resource: str, quantity: float) -> str:
    """The same without the name of the resource: ``2``, ``32 GiB``."""
    return format_memory(quantity) if bare(resource) in _BYTES else f"{quantity:g}"


def demand(spec: PodSpec, *, but: str = "") -> dict[str, float]:
    """What a pod asks of a node: the sum of what runs side by side, without the container ``but``."""
    beside = [one for one in spec.init_containers if one.restart_policy == "Always"]
    return _sum(one for one in (*spec.containers, *beside) if one.name != but)


def _sum(containers: Iterable[Container]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in containers:
        for name, text in _requests(container).items():
            total[name] = total.get(name, 0.0) + (read_quantity(text) or 0.0)
    return total


def _requests(container: Container) -> Mapping[str, str]:
    # A limit without a request counts as one; the API server fills that in, a Job's template lacks it.
    return {**container.resources.limits, **container.resources.requests}
