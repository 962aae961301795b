"""The rights that Offload needs, in one namespace: one value, from which the YAML for administrators is made.

Nothing of the cluster itself, no right on nodes, no reading of Secrets by list. Whoever may make pods in a
namespace can read its Secrets by mounting them, so the rights below are those of the whole namespace: give
Offload a namespace of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ACCOUNT: Final = "offload"
"""Name of the service account, the Role and its binding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Some verbs on one kind of object.

    Attributes:
        group: API group; empty is the core.
        resource: plural name of the kind.
        subresource: a part of it, or empty.
        verbs: what may be done.
        why: what for, in one line.
    """

    group: str = ""
    resource: str
    subresource: str = ""
    verbs: tuple[str, ...]
    why: str

    @property
    def name(self) -> str:
        """The resource as Roles name it, with its verbs: ``pods/log (get)``."""
        return f"{self.path} ({', '.join(self.verbs)})"

    @property
    def path(self) -> str:
        """The resource as Roles name it: ``pods/log``."""
        return "/".join(part for part in (self.resource, self.subresource) if part)


RIGHTS: Final[Sequence[Right]] = (
    Right(
        group="batch",
        resource="jobs",
        verbs=("get", "list", "watch", "create", "patch", "delete"),
        why="A pool of runners is one Job: it is made, grows and shrinks, is watched, and is deleted.",
    ),
    Right(
        resource="pods",
        verbs=("get", "list", "watch", "delete"),
        why="A runner is one pod: it is watched, and one that hangs is deleted.",
    ),
    Right(
        resource="pods",
        subresource="log",
        verbs=("get",),
        why="What a runner said last, when it failed before it could reach the launcher.",
    ),
    Right(
        resource="events",
        verbs=("list", "watch"),
        why="Why a pod waits: Kubernetes says so in events, and forgets them after an hour.",
    ),
    Right(
        resource="secrets",
        verbs=("create", "patch", "delete"),
        why="The token with which the runners of one job speak to the launcher; it goes with the Job.",
    ),
)
"""What is always needed."""

GATEWAY_RIGHTS: Final[Sequence[Right]] = (
    Right(
        resource="services",
        verbs=("create", "patch", "delete"),
        why="The address at which runners find the gateway, whichever node it is on.",
    ),
    Right(
        group="networking.k8s.io",
        resource="networkpolicies",
        verbs=("create", "patch", "delete"),
        why="Lets the runners of this launcher alone into its gateway.",
    ),
    Right(
        resource="pods",
        subresource="portforward",
        verbs=("get", "create"),
        why="How the launcher reaches the gateway: out through the API server, so nothing has to reach it.",
    ),
)
"""What a launcher needs besides that no pod can reach; Kubernetes asks for ``create`` since 1.35."""


def rights(*, gateway: bool) -> Sequence[Right]:
    """All that is needed, with a gateway or without."""
    return (*RIGHTS, *GATEWAY_RIGHTS) if gateway else RIGHTS


def role_yaml(namespace: str) -> str:
    """The Role."""
    rules = "".join(_rule(right) for right in rights(gateway=True))
    return (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n"
        f"  name: {ACCOUNT}\n  namespace: {namespace}\nrules:\n{rules}"
    )


def account_yaml(namespace: str) -> str:
    """The service account of a launcher, with the Role bound to it."""
    return (
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n"
        f"  name: {ACCOUNT}\n  namespace: {namespace}\n"
        "---\n"
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n"
        f"  name: {ACCOUNT}\n  namespace: {namespace}\n"
        f"roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {ACCOUNT}\n"
        "subjects:\n"
        f"  - kind: ServiceAccount\n    name: {ACCOUNT}\n    namespace: {namespace}\n"
        "  # People whose own launchers use their own kubeconfig:\n"
        "  # - kind: Group\n  #   apiGroup: rbac.authorization.k8s.io\n  #   name: analysts\n"
    )


def _rule(right: Right) -> str:
    return (
        f"  # {right.why}\n"
        f"  - apiGroups: {json.dumps([right.group])}\n"
        f"    resources: {json.dumps([right.path])}\n"
        f"    verbs: {json.dumps(right.verbs)}\n"
    )
