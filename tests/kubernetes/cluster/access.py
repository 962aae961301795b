"""What a test asks of a cluster, be it the one of this machine or any other that ``KUBECONFIG`` names.

A namespace for a test enforces the *restricted* Pod Security Standard, and has one account with exactly the
rights that ``deploy/kubernetes/role.yaml`` gives. Both come from that folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from cluster import programs
from cluster.places import CACHE, KUBECONFIG, TREE
from cluster.processes import run

ACCOUNT = "offload"
MANIFESTS = TREE / "deploy" / "kubernetes"


def foreign() -> Path | None:
    """The kubeconfig of a cluster that isn't ours, when the person names one."""
    named = os.environ.get("KUBECONFIG")
    return Path(named) if named and Path(named) != KUBECONFIG else None


def kubectl(
    *argv: object, given: str | None = None, kubeconfig: Path | None = None, seconds: float = 60
) -> str:
    """What ``kubectl`` prints, asked as the administrator or as the bearer of another kubeconfig."""
    program = "kubectl" if foreign() else programs.kubectl()
    fixed = ("--cache-dir", CACHE / "kubectl", "--kubeconfig", kubeconfig or foreign() or KUBECONFIG)
    return run(program, *fixed, *argv, given=given, seconds=seconds)


def make_namespace(name: str) -> None:
    """Make a namespace with the account and the rights of Offload, as administrators are told to."""
    with tempfile.TemporaryDirectory() as folder:
        kustomization = {
            "namespace": name,
            "resources": [os.path.relpath(MANIFESTS, os.path.realpath(folder))],
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(kustomization))
        kubectl("apply", "--kustomize", folder)


def account_token(namespace: str, *, seconds: int = 3600) -> str:
    """A real token of an account; Kubernetes gives none for less than 600 s."""
    return kubectl("create", "token", ACCOUNT, "--namespace", namespace, f"--duration={seconds}s").strip()


def account_kubeconfig(path: Path, namespace: str, *, seconds: int = 3600) -> Path:
    """Write the kubeconfig of an account, with a fresh token, for the API server of the cluster in use."""
    whole = json.loads(kubectl("config", "view", "--minify", "--flatten", "--raw", "--output=json"))
    whole["users"] = [{"name": ACCOUNT, "user": {"token": account_token(namespace, seconds=seconds)}}]
    whole["contexts"][0]["context"] |= {"user": ACCOUNT, "namespace": namespace}
    path.touch(mode=0o600)
    path.write_text(json.dumps(whole))
    return path


def delete_namespace(name: str, *, wait: bool = False) -> None:
    """Delete a namespace with all that is in it."""
    kubectl("delete", "namespace", name, "--ignore-not-found", f"--wait={str(wait).lower()}", seconds=120)
