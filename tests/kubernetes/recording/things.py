"""Objects that situations need beside their Job, and what is often waited for."""

from __future__ import annotations

from typing import Any

from recording.situation import Json, Seen


def unplaced(seen: Seen) -> bool:
    return seen.has_event("FailedScheduling") and any(
        one.get("reason") == "Unschedulable" for one in seen.pod.get("status", {}).get("conditions", [])
    )


def denied(seen: Seen) -> bool:
    return seen.has_event("FailedCreate")


def ended(seen: Seen) -> bool:
    return seen.phase in ("Failed", "Succeeded")


def named(kind: str, version: str, name: str, **fields: Any) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def quota(**hard: str) -> Json:
    return named(
        "ResourceQuota",
        "v1",
        "team-a",
        spec={"hard": {key.replace("_", "."): much for key, much in hard.items()}},
    )


def filler(name: str, node: str, requests: Json, **fields: Any) -> Json:
    """A pod of somebody else on a simulated node."""
    container = {
        "name": "other",
        "image": "other:1",
        "resources": {"requests": requests, "limits": dict(requests)},
    }
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    whole = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        **fields,
    }
    return named("Pod", "v1", name, spec={"containers": [container], **whole})


def claim(name: str, storage_class: str) -> Json:
    wish = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return named("PersistentVolumeClaim", "v1", name, spec={**wish, "storageClassName": storage_class})


def policy(namespace: str) -> tuple[Json, Json]:
    group = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    says = {"expression": "false", "message": "images must come from the registry of the house"}
    policy = {"matchConstraints": {"resourceRules": [rule], "namespaceSelector": only}, "validations": [says]}
    name = "house-rules.example.com"
    return (
        named("ValidatingAdmissionPolicy", group, name, spec=policy),
        named(
            "ValidatingAdmissionPolicyBinding",
            group,
            name,
            spec={"policyName": name, "validationActions": ["Deny"]},
        ),
    )


def rooted(job: Json) -> None:
    job["spec"]["template"]["spec"]["securityContext"] = {}
    job["spec"]["template"]["spec"]["initContainers"][0]["securityContext"]["runAsUser"] = 1000
