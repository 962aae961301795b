"""Nodes that aren't there, by kwok: for placement, waiting and tests of a thousand pods.

kwok plays the kubelet of every node with the annotation ``kwok.x-k8s.io/node: fake``. A pod there runs at
once and does nothing. It completes after what its annotation ``offload.test/completes-after`` says (``5s``),
else never. A taint keeps real pods away; pods that want to be there tolerate it. Without kwok these nodes are
lost after 20 s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cluster import programs
from cluster.access import kubectl
from cluster.control_plane import Component, fetches, kubeconfig_of
from cluster.places import HERE

TAINT = {"key": "offload.test/simulated", "value": "yes", "effect": "NoSchedule"}
TOLERATION = {"key": TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}
GPU_NODE = "fake-gpu-0"
LABEL = "offload.test/simulated"


def kwok() -> Component:
    """The program that plays kubelet."""
    arguments = (
        f"--kubeconfig={kubeconfig_of('kwok')}",
        f"--config={HERE / 'simulated.yaml'}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--cidr=10.245.0.1/16",
        "--node-lease-duration-seconds=12",
        "--server-address=127.0.0.1:10247",
    )
    return Component("kwok", arguments, fetches("http://127.0.0.1:10247/healthz"), program=programs.kwok)


def add_node(
    name: str,
    resources: Mapping[str, object],
    labels: Mapping[str, str] | None = None,
    *,
    player: str = "fake",
) -> None:
    """Add a simulated node; ``resources`` such as ``{"cpu": 16, "memory": "64Gi", "nvidia.com/gpu": 4}``.

    Another ``player`` than ours is a kwok that the caller runs, to let its nodes fall silent alone.
    """
    capacity = {"pods": "1000", "ephemeral-storage": "1Ti"} | {
        key: str(much) for key, much in resources.items()
    }
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": player},
            "labels": {
                LABEL: "yes",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **(labels or {}),
            },
        },
        "spec": {"taints": [TAINT]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
    kubectl("apply", "-f", "-", given=json.dumps(node))
    kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")


def add_gpu_node(name: str = GPU_NODE) -> None:
    """Add a simulated node with four GPUs, 16 CPUs and 64 GiB, labelled as GPU operators do."""
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "offload.test/pool": "gpu"}
    add_node(name, {"cpu": 16, "memory": "64Gi", "nvidia.com/gpu": 4}, labels)


def remove_node(name: str) -> None:
    """Take a simulated node away; its pods are deleted by the cluster."""
    kubectl("delete", "node", name, "--ignore-not-found", "--wait=false")
