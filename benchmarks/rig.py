"""What the benchmarks on Kubernetes stand on: the tests' cluster, a namespace, and a person with both.

The person's rights are those that administrators are asked for, and the namespace enforces the *restricted*
Pod Security Standard, as for the tests.
"""

from __future__ import annotations

import json
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import access
from cluster.places import ADDRESS
from cluster.processes import RigError

from fakes.person import Person, at_work, wait_until

__all__ = ["CLUSTER", "IMAGE", "RUNNER", "SMALL", "THROUGH", "Bench", "bench", "objects", "wait_until"]

IMAGE = "offload-test-python:test"
RUNNER = "offload-runner:test"
CLUSTER = "rig"
THROUGH = "through"
"""The same cluster, whose runners reach the launcher through a gateway."""
_NO_CPU = {"resources": {"requests": {"cpu": "0"}}}
SMALL: Mapping[str, Any] = {
    "pod": {
        "spec": {
            "initContainers": [{"name": "runner", **_NO_CPU}],
            "containers": [{"name": "task", **_NO_CPU}],
        }
    }
}
"""Settings of pods that fit on a small node however full it is; the peers ask for as little."""


@dataclass(frozen=True)
class Bench:
    """A person, the namespace of their cluster ``rig``, and a kubeconfig with its rights."""

    person: Person
    namespace: str
    kubeconfig: Path
    address: str

    @property
    def callback(self) -> str:
        """Where runners dial."""
        return f"http://{self.address}"

    @property
    def home(self) -> Path:
        """Where the launcher keeps what it knows."""
        return Path(self.person.env["OFFLOAD_HOME"])

    @property
    def socket(self) -> Path:
        """Where the launcher answers this machine."""
        return Path(self.home / "run" / "launcher.sock")

    def launcher(self) -> int:
        """The pid of the launcher."""
        pids: list[int] = self.person.pids_of("server")
        return pids[0]


@contextmanager
def bench(settings: Mapping[str, Any]) -> Iterator[Bench]:
    """A launcher of its own that has the cluster, with further ``settings``; nothing of it stays."""
    namespace = f"bench-{secrets.token_hex(3)}"
    access.make_namespace(namespace)
    try:
        with tempfile.TemporaryDirectory(prefix="offload-bench-") as folder:
            kubeconfig = access.account_kubeconfig(Path(folder) / "kubeconfig", namespace)
            with at_work(Path(folder) / "person", KUBECONFIG=str(kubeconfig)) as person:
                found = Bench(person, namespace, kubeconfig, _free_address())
                _configure(found, settings)
                yield found
                _settle(found)
    finally:
        with suppress(RigError):  # nobody answers: what was measured counts all the same
            access.delete_namespace(namespace)


def _free_address() -> str:
    with socket.create_server((ADDRESS, 0)) as free:
        return f"{ADDRESS}:{free.getsockname()[1]}"


def _configure(bench: Bench, settings: Mapping[str, Any]) -> None:
    table = {
        "backend": "kubernetes",
        "namespace": bench.namespace,
        "callback": bench.callback,
        "runner_image": RUNNER,
        "image_pull_policy": "IfNotPresent",
        "images": {"python": IMAGE, "default": IMAGE},
        **settings,
    }
    bench.home.mkdir(mode=0o700)
    through = {key: value for key, value in table.items() if key != "callback"}
    text = f"listen = [{json.dumps(bench.address)}]\n[clusters]\n{CLUSTER} = {_toml(table)}\n"
    text += f"{THROUGH} = {_toml(through)}\n"
    (bench.home / "config.toml").write_text(text)
    bench.person.offload("jobs")  # the launcher is warm from here on
    wait_until(lambda: all(one["available"] for one in bench.person.json("clusters")))


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value)


def _settle(bench: Bench) -> None:
    """End jobs that a failed measurement left, so that nothing of them stays on the cluster."""
    for job in bench.person.json("jobs")["jobs"]:
        bench.person.offload("cancel", job["id"], status=None)


def objects(bench: Bench, kinds: str) -> list[dict[str, Any]]:
    """Objects of these kinds in the namespace, as its administrator sees them."""
    listed = json.loads(access.kubectl("--namespace", bench.namespace, "get", kinds, "-o", "json"))
    found: list[dict[str, Any]] = listed["items"]
    return found
