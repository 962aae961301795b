"""The strategic merge patch of Kubernetes, as far as the template of a pod needs it.

Tables are merged key by key. Lists replace one another, but for those whose elements have a key of their own,
such as containers by ``name``: there the elements with the same key are merged. ``$patch = "delete"`` in an
element removes it, ``$patch = "replace"`` replaces the table (or the list) that it is in, ``$retainKeys``
drops every other key, null removes a key.

Source: ``k8s.io/api/core/v1`` 1.35, the tags ``patchStrategy`` and ``patchMergeKey`` of what is below
``PodTemplateSpec``; the tests compare with kubectl.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
"""Lists that are merged, and the key of their elements; any other list is replaced."""
_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_WAYS: Final = ("merge", "replace", "delete")


def merge(original: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A table with a patch applied; neither of them is changed.

    Raises:
        ValueError: a directive isn't known, or an element of a merged list is without its key.
    """
    way = _way(patch)
    if way == "delete":
        return {}
    merged = {} if way == "replace" else copy.deepcopy(dict(original))
    for key, value in patch.items():
        if key in (_PATCH, _RETAIN):
            continue
        if key.startswith("$"):
            raise ValueError(f"{key!r} isn't understood; known are {_PATCH} and {_RETAIN}")
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _value(key, merged.get(key), value)
    kept = patch.get(_RETAIN)
    return merged if kept is None else {key: value for key, value in merged.items() if key in kept}


def _value(key: str, old: Any, new: Any) -> Any:
    if isinstance(new, Mapping):
        return merge(old if isinstance(old, Mapping) else {}, new)
    if isinstance(new, Sequence) and not isinstance(new, str) and key in MERGE_KEYS:
        return _merge_list(key, old if isinstance(old, Sequence) else [], new)
    return copy.deepcopy(new)


def _merge_list(key: str, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    by = MERGE_KEYS[key]
    replace = any(isinstance(one, Mapping) and _way(one) == "replace" for one in new)
    merged: list[Any] = [] if replace else copy.deepcopy(list(old))
    for element in new:
        if isinstance(element, Mapping) and set(element) == {_PATCH} and _way(element) == "replace":
            continue
        if not isinstance(element, Mapping) or by not in element:
            raise ValueError(f"every element of {key} needs {by!r}, because they are merged by it")
        _merge_element(merged, by, element)
    return merged


def _merge_element(elements: list[Any], by: str, patch: Mapping[str, Any]) -> None:
    same = [at for at, one in enumerate(elements) if one.get(by) == patch[by]]
    if _way(patch) == "delete":
        for at in reversed(same):
            del elements[at]
    elif same:
        elements[same[0]] = merge(elements[same[0]], patch)
    else:
        elements.append(merge({}, patch))


def _way(patch: Mapping[str, Any]) -> str:
    way = patch.get(_PATCH, "merge")
    if way not in _WAYS:
        raise ValueError(f"{_PATCH} = {way!r} isn't one of {', '.join(_WAYS)}")
    return str(way)


def check_patch(patch: Mapping[str, Any]) -> None:
    """Whether a patch can be applied to a pod of ours and leaves it one.

    Raises:
        ValueError: it can't, or it takes away what Offload needs.
    """
    _check_parts("", patch, ("metadata", "spec"))
    patched = merge(_SAMPLE, patch)
    _check_parts("metadata.", patched["metadata"], ("labels", "annotations"))
    if _ours(patched["metadata"].get("labels")) != _ours(_SAMPLE["metadata"]["labels"]):
        raise ValueError("the labels offload.dev/… and app.kubernetes.io/managed-by can't be patched")
    if patched["spec"].get("restartPolicy") != "Never":
        raise ValueError("spec.restartPolicy can't be patched")
    for shared in ("shareProcessNamespace", "hostPID"):
        if patched["spec"].get(shared):
            # The agent ends a task by signalling all there is beside it, which must be that task alone.
            raise ValueError(f"spec.{shared} can't be true: ending a task would end more than the task")
    for kind in ("containers", "initContainers"):
        _check_container(_SAMPLE["spec"][kind][0], patched["spec"].get(kind))


_SAMPLE: Final[Mapping[str, Any]] = {
    "metadata": {"labels": {"offload.dev/pool": "", "app.kubernetes.io/managed-by": "offload"}},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "task", "command": []}],
        "initContainers": [{"name": "runner", "command": [], "restartPolicy": "Always"}],
    },
}


def _check_parts(where: str, table: Any, parts: tuple[str, ...]) -> None:
    for key, value in dict(table).items():
        if key not in parts or not isinstance(value, Mapping):
            raise ValueError(f"{where}{key} isn't a table that can be patched; these are: {', '.join(parts)}")


def _check_container(was: Mapping[str, Any], containers: Any) -> None:
    now = {one.get("name"): one for one in containers or ()}.get(was["name"], {})
    if any(now.get(key) != value for key, value in was.items()):
        raise ValueError(
            f"the container {was['name']!r}, its command and restartPolicy can't be patched away"
        )


def _ours(labels: Any) -> dict[str, Any]:
    own = ("offload.dev/", "app.kubernetes.io/managed-by")
    return {key: value for key, value in dict(labels or {}).items() if key.startswith(own)}
