"""A person whose launcher has clusters on a real Kubernetes: ``rig``, and variations of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster import access
from cluster.places import ADDRESS

from fakes.forward import Forward
from fakes.person import Person, wait_until
from offload.backends.kubernetes.names import JOB

SMALL = ("--cpus", "0.05", "--memory", "64Mi")
IMAGES = {
    "R": "offload-test-r:test",
    "python": "offload-test-python:test",
    "shell": "offload-test-python:test",
    "default": "offload-test-busybox:test",
}


class Analyst(Person):
    """Somebody at work on a cluster.

    Attributes:
        namespace: of the cluster ``rig``.
        callback: leads to the launcher, unless it is unplugged.
    """

    def __init__(self, root: Path, namespace: str, **env: str) -> None:
        super().__init__(root, **env)
        self.namespace = namespace
        self.callback = Forward(root / "offload" / "run" / "launcher.sock", ADDRESS)
        self._tables: list[str] = []

    def add(self, name: str, namespace: str | None = None, **settings: Any) -> None:
        """Write a cluster into the settings; a launcher that runs doesn't learn of it."""
        namespace = namespace or self.namespace
        kubeconfig = self.root / f"kubeconfig-{namespace}"
        if not kubeconfig.exists():
            access.account_kubeconfig(kubeconfig, namespace)
        table = {
            "backend": "kubernetes",
            "kubeconfig": str(kubeconfig),
            "namespace": namespace,
            "callback": self.callback.address,
            "runner_image": "offload-runner:test",
            "images": IMAGES,
            "image_pull_policy": "IfNotPresent",
            **settings,
        }
        lines = "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
        self._tables.append(f"[clusters.{name}]\n{lines}")
        home = self.root / "offload"
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "config.toml").write_text("\n".join(self._tables))

    def forget(self) -> None:
        """Take all clusters out of the settings again."""
        self._tables.clear()

    def submit(self, *words: str, on: str = "rig") -> str:
        """Submit a small job; its id."""
        return self.detach("--on", on, *SMALL, *words)

    def run(self, *words: str, on: str = "rig", status: int | None = 0, timeout: float = 90.0):
        """Run a small job to its end."""
        return self.offload("run", "--on", on, *SMALL, *words, status=status, timeout=timeout)

    def ended(self, job: str, *, timeout: float = 90.0) -> dict[str, Any]:
        """The job, once it has ended."""
        self.offload("wait", job, status=None, timeout=timeout)
        return self.json("status", job)

    def newest(self) -> dict[str, Any]:
        """The newest job with its tasks."""
        return self.json("status", self.json("jobs")["jobs"][0]["id"])

    def printed(self, job: str) -> str:
        """What a job has printed until now."""
        return self.offload("logs", job).stdout

    def wait_for_output(self, job: str, text: str, *, seconds: float = 180.0) -> None:
        """Return once a job has printed something."""
        wait_until(lambda: text in self.printed(job), seconds=seconds, what=f"{text!r} of {job}")

    def objects(self, job: str = "", kinds: str = "jobs,pods,secrets") -> list[dict[str, Any]]:
        """What there is of a job in the namespace."""
        chosen = ("-l", f"{JOB}={job}" if job else JOB)
        found = access.kubectl("-n", self.namespace, "get", kinds, *chosen, "-o", "json")
        return json.loads(found)["items"]

    def pods(self, job: str) -> list[str]:
        """Names of a job's pods."""
        return [pod["metadata"]["name"] for pod in self.objects(job, "pods")]

    def wait_until_nothing_is_left(self, job: str = "", *, seconds: float = 150.0) -> None:
        """Return once the namespace holds nothing of a job.

        What the launcher deletes is gone in seconds, but what that owned goes when the cluster's own garbage
        collector comes to it, and after an outage of the API server that has to begin anew.
        """

        def what() -> str:
            left = [f"{one['kind']} {one['metadata']}" for one in self.objects(job)]
            return f"the namespace to be clean; there still is: {'; '.join(left)}"

        wait_until(lambda: not self.objects(job), seconds=seconds, what=what)

    def kubectl(self, *words: str, **options: Any) -> str:
        """Ask the cluster as its administrator."""
        return access.kubectl("-n", self.namespace, *words, **options)

    def log_of_launcher(self) -> str:
        """What the launcher has logged."""
        return (self.root / "offload" / "launcher.log").read_text()


@contextlib.contextmanager
def analyst_at_work(root: Path, namespace: str, **env: str) -> Iterator[Analyst]:
    """An analyst in a namespace of their own, which goes with them."""
    root.mkdir(parents=True, exist_ok=True)
    access.make_namespace(namespace)
    analyst = Analyst(root, namespace, **env)
    try:
        with analyst.callback:
            yield analyst
    finally:
        analyst.leave()
        access.delete_namespace(namespace)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
