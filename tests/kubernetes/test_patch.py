"""Our strategic merge patch does what kubectl's does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cluster.access import kubectl

from offload.backends.kubernetes.patch import MERGE_KEYS, merge

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"a": "1", "b": "2"}},
    "spec": {
        "restartPolicy": "Never",
        "nodeSelector": {"x": "1"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["one"]}],
        "imagePullSecrets": [{"name": "first"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "initContainers": [{"name": "runner", "image": "r:1", "restartPolicy": "Always"}],
        "containers": [
            {
                "name": "task",
                "image": "t:1",
                "command": ["a", "b"],
                "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "volumeMounts": [
                    {"name": "files", "mountPath": "/files"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            }
        ],
        "volumes": [{"name": "files", "emptyDir": {}}, {"name": "tmp", "emptyDir": {"medium": "Memory"}}],
        "securityContext": {"runAsUser": 1000, "supplementalGroups": [1, 2]},
    },
}


def task(**more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "task", **more}]}}


PATCHES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "tables": {"metadata": {"labels": {"b": "3", "c": "4"}}, "spec": {"nodeSelector": {"y": "2"}}},
    "null": {"metadata": {"labels": {"a": None}}, "spec": {"nodeSelector": None, "dnsPolicy": None}},
    "atomic lists": {"spec": {"tolerations": [{"key": "b"}], "securityContext": {"supplementalGroups": [3]}}},
    "a field of a container": task(image="t:2", command=["c"]),
    "variables": task(env=[{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]),
    "a variable from a secret": task(
        env=[{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    ),
    "delete a variable": task(env=[{"name": "A", "$patch": "delete"}]),
    "volume mounts": task(
        volumeMounts=[{"mountPath": "/tmp", "name": "files"}, {"mountPath": "/n", "name": "n"}]
    ),
    "ports": task(ports=[{"containerPort": 81}, {"containerPort": 80, "name": "www"}]),
    "resources": task(resources={"limits": {"memory": "2Gi"}, "requests": {"cpu": "1"}}),
    "one more container": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}},
    "one more runner": {
        "spec": {"initContainers": [{"name": "first", "image": "f:1"}, {"name": "runner", "image": "r:2"}]}
    },
    "replace all variables": task(env=[{"name": "C", "value": "3"}, {"$patch": "replace"}]),
    "replace a table": task(resources={"$patch": "replace", "limits": {"cpu": "2"}}),
    "delete a table": {"spec": {"securityContext": {"$patch": "delete"}}},
    "delete a volume": {"spec": {"volumes": [{"name": "tmp", "$patch": "delete"}]}},
    "another kind of volume": {
        "spec": {
            "volumes": [{"name": "tmp", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]
        }
    },
    "other lists with a key": {
        "spec": {
            "hostAliases": [
                {"ip": "10.0.0.2", "hostnames": ["two"]},
                {"ip": "10.0.0.1", "hostnames": ["more"]},
            ],
            "imagePullSecrets": [{"name": "second"}],
            "topologySpreadConstraints": [
                {"maxSkew": 2, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule"},
                {"topologyKey": "zone", "maxSkew": 3, "whenUnsatisfiable": "ScheduleAnyway"},
            ],
        }
    },
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_has_the_effect_that_it_has_with_kubectl(name, tmp_path: Path):
    file = tmp_path / "template.json"
    whole = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": TEMPLATE}
    file.write_text(json.dumps(whole))
    patch = json.dumps({"template": PATCHES[name]})
    answer = kubectl("patch", "--local", "--type=strategic", "-f", file, "--patch", patch, "--output=json")
    assert plain(merge(TEMPLATE, PATCHES[name])) == plain(json.loads(answer)["template"])


def plain(value: Any, key: str = "") -> Any:
    """The same for who reads it: without what is empty, and merged lists in the order of their keys."""
    if isinstance(value, dict):
        inner = {name: plain(one, name) for name, one in value.items()}
        return {
            name: one
            for name, one in inner.items()
            if one is not None and (one not in ({}, []) or name == "emptyDir")
        }
    if isinstance(value, list):
        parts = [plain(one) for one in value]
        return sorted(parts, key=lambda one: str(one[MERGE_KEYS[key]])) if key in MERGE_KEYS else parts
    return value
