"""What is made in a namespace for a gateway: a Job that keeps its pod alive, a Service, a policy. Pure.

All of it belongs to one launcher and bears its identity, so that launchers share a namespace without knowing
each other. The Job's name ends with a digest of its template, since a template can't be changed: another
version of Offload makes another Job, and the Service leads to whichever is there. Service and policy belong
to the Job and go with it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from offload.backends.kubernetes.containers import SANDBOX, pulled
from offload.backends.kubernetes.names import LAUNCHER, MANAGED_BY, PREFIX, owned_by
from offload.backends.kubernetes.pod import account, security_context
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.wire.gateway_place import PROOF, RUNNER_PORT

GATEWAY: Final = "offload.dev/gateway"
"""The label of everything that belongs to a gateway: the identity of its launcher."""
_MANY: Final = 1_000_000
_LINGER: Final = 60
"""Seconds for which the Job of a gateway that ended by itself stays."""
_LOST_NODE: Final = 15
"""Seconds after which it leaves a node that isn't heard of; Kubernetes' own are 300."""


def service_name(launcher: str) -> str:
    """Of the Service and of the policy."""
    return f"{PREFIX}gateway-{launcher}"


def selector(launcher: str) -> str:
    """Everything of the gateway of a launcher."""
    return f"{MANAGED_BY}=offload,{GATEWAY}={launcher}"


def build_job(settings: KubernetesSettings, launcher: str, proof: str) -> dict[str, Any]:
    """The Job, complete, for server-side apply.

    Args:
        settings: of the cluster.
        launcher: identity of this launcher.
        proof: digest of the secret that the launcher shows.
    """
    template = {
        "metadata": {"labels": _labels(launcher)},
        "spec": {
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": security_context(settings.security),
            "tolerations": [_tolerates("not-ready"), _tolerates("unreachable")],
            "containers": [_container(settings, proof)],
            **account(settings),
        },
    }
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(f"{service_name(launcher)}-{digest}", settings, launcher),
        "spec": {"backoffLimit": _MANY, "ttlSecondsAfterFinished": _LINGER, "template": template},
    }


def build_service(
    settings: KubernetesSettings, launcher: str, owner: tuple[str, str], address: str = ""
) -> dict[str, Any]:
    """The Service.

    Args:
        settings: of the cluster.
        launcher: identity of this launcher.
        owner: name and uid of the Job.
        address: its cluster IP, if it had one before: runners remember it.
    """
    port = {"name": "runners", "port": RUNNER_PORT, "targetPort": RUNNER_PORT, "protocol": "TCP"}
    known = {"clusterIP": address} if address else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(service_name(launcher), settings, launcher, owner),
        "spec": {"selector": _labels(launcher), "ports": [port], **known},
    }


def build_policy(settings: KubernetesSettings, launcher: str, owner: tuple[str, str]) -> dict[str, Any]:
    """The NetworkPolicy: runners of this launcher come in, and the gateway goes nowhere.

    The launcher isn't in it: what comes through the API server arrives on the pod's loopback interface.
    """
    runners = {"podSelector": {"matchLabels": {MANAGED_BY: "offload", LAUNCHER: launcher}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(service_name(launcher), settings, launcher, owner),
        "spec": {
            "podSelector": {"matchLabels": _labels(launcher)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [runners], "ports": [{"port": RUNNER_PORT, "protocol": "TCP"}]}],
        },
    }


def _container(settings: KubernetesSettings, proof: str) -> dict[str, Any]:
    return {
        "name": "gateway",
        "image": settings.runner_image,
        **pulled(settings),
        "command": ["python3", "-P", "-m", "offload.gateway"],
        "env": [{"name": PROOF, "value": proof}],
        "ports": [{"name": "runners", "containerPort": RUNNER_PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
            "limits": {"memory": "512Mi", "ephemeral-storage": "64Mi", **_cpu_limit(settings)},
        },
        "securityContext": {**SANDBOX, "readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _cpu_limit(settings: KubernetesSettings) -> dict[str, str]:
    return {"cpu": "1"} if settings.cpu_limit else {}


def _tolerates(trouble: str) -> dict[str, Any]:
    key = f"node.kubernetes.io/{trouble}"
    return {
        "key": key,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _LOST_NODE,
    }


def _labels(launcher: str) -> dict[str, str]:
    return {MANAGED_BY: "offload", GATEWAY: launcher}


def _metadata(
    name: str, settings: KubernetesSettings, launcher: str, owner: tuple[str, str] | None = None
) -> dict[str, Any]:
    owned = owned_by(*owner) if owner else {}
    return {"name": name, "namespace": settings.namespace, "labels": _labels(launcher), **owned}
