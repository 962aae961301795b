"""Tests on a real Kubernetes: one that ``cluster`` makes on this machine, or one that KUBECONFIG names."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import access, control
from cluster.places import KUBECONFIG
from cluster.processes import RigError


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "own_cluster: breaks or simulates parts, so only for a cluster of our own"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Bring the cluster up before any test, whose time is limited; a process of xdist finds it there."""
    if access.foreign() or session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            control.up()
        except RigError as error:
            pytest.exit(f"There is no cluster to test on. {error}", returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Somebody else's cluster isn't broken."""
    if access.foreign():
        others = [item for item in items if item.get_closest_marker("own_cluster")]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)


@dataclass(frozen=True)
class Cluster:
    """The cluster that tests run on."""

    kubeconfig: Path

    kubectl = staticmethod(access.kubectl)

    def account(self, path: Path, namespace: str, *, seconds: int = 3600) -> Path:
        """Write a kubeconfig with the rights of Offload in a namespace."""
        return access.account_kubeconfig(path, namespace, seconds=seconds)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster; asked as its administrator."""
    return Cluster(access.foreign() or KUBECONFIG)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace that enforces the restricted Pod Security Standard, named after the test."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    name = f"{words[:48].strip('-')}-{secrets.token_hex(3)}"
    access.make_namespace(name)
    yield name
    access.delete_namespace(name)


@pytest.fixture
def account_kubeconfig(cluster: Cluster, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig with exactly the rights that Offload asks for, in the namespace of the test."""
    return cluster.account(tmp_path / "kubeconfig", namespace)
