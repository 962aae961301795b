"""A runner and an agent in a real pod, against a launcher reduced to the runner protocol."""

from __future__ import annotations

import json

import pytest
from cluster import access
from cluster.places import ADDRESS

from fakes.forward import Forward
from fakes.launcher import TOKEN, FakeLauncher
from fakes.runners import eventually
from offload.backends.contract import Pool
from offload.backends.kubernetes.job import build_job, build_secret
from offload.backends.kubernetes.settings import read_settings
from offload.model.ids import new_job_id, pool_id
from offload.model.reasons import ReasonCode
from offload.model.resources import Resources
from offload.wire.runner_protocol import OrderKind

SAVES = "trap 'echo saved > file; exit 7' TERM; echo up; while :; do sleep 0.1; done"


class RealPod:
    """One pool of one runner, and what becomes of its pod."""

    def __init__(self, namespace: str, callback: str) -> None:
        self.namespace = namespace
        self.callback = callback

    def start(self, image: str, *, memory: int = 64 << 20, **settings: object) -> None:
        read = read_settings(
            {
                "namespace": self.namespace,
                "callback": self.callback,
                "runner_image": "offload-runner:test",
                "images": {"default": f"offload-test-{image}:test"},
                "image_pull_policy": "Never",
                **settings,
            },
            "rig",
        )
        pool = Pool(
            id=pool_id(new_job_id(), 0),
            user="ann",
            resources=Resources(cpus=0.05, memory=memory),
            token=TOKEN,
            launcher=self.callback,
            submitted=0.0,
            grace=5.0,
            home="/home/ann/project",
        )
        objects = [
            build_secret(pool, read, launcher="test"),
            build_job(pool, read, launcher="test", generation=0, runners=1),
        ]
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        access.kubectl("-n", self.namespace, "apply", "-f", "-", given=given)

    def pod(self) -> dict:
        items = json.loads(access.kubectl("-n", self.namespace, "get", "pods", "-o", "json"))["items"]
        return items[0] if items else {}

    def phase(self) -> str:
        return self.pod().get("status", {}).get("phase", "")

    def ended(self) -> dict:
        """How the task's container ended."""
        statuses = self.pod()["status"].get("containerStatuses", [])
        return statuses[0]["state"].get("terminated", {}) if statuses else {}


@pytest.fixture
def launcher(tmp_path):
    with FakeLauncher(tmp_path / "launcher.sock") as one:
        yield one


@pytest.fixture
def pod(launcher, namespace):
    with Forward(launcher.socket, ADDRESS) as forward:
        yield RealPod(namespace, forward.address)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("image", ["busybox", "python", "r"])
def test_a_task_runs_where_it_runs_at_home_and_its_pod_succeeds(launcher, pod, image, read_only):
    launcher.snapshot({"data.csv": b"1\n"})
    text = "pwd; cat data.csv; echo 2 >> data.csv; echo x > $HOME/x && echo y > /tmp/y && cat $HOME/x; id -u"
    launcher.set(command=("sh", "-c", text))
    launcher.add_task()
    pod.start(image, security={"read_only_root": read_only})
    outcome = launcher.completion(timeout=60).outcome
    assert (outcome.exit_status, outcome.reason) == (0, None)
    assert launcher.output() == b"/home/ann/project\n1\nx\n1000\n"
    assert launcher.results(outcome.results) == {"data.csv": b"1\n2\n"}
    assert outcome.use.peak_memory > 0
    assert outcome.use.cpu > 0
    launcher.order(OrderKind.STOP)
    eventually(lambda: pod.phase() == "Succeeded", timeout=60)


def test_a_pod_that_is_deleted_gives_the_task_its_grace_and_brings_home_what_it_made(launcher, pod):
    launcher.set(command=("sh", "-c", SAVES))
    launcher.add_task()
    pod.start("busybox")
    launcher.wait_for(launcher.output, timeout=60)
    name = pod.pod()["metadata"]["name"]
    access.kubectl("-n", pod.namespace, "delete", "pod", name, "--wait=false")
    outcome = launcher.completion(timeout=60).outcome
    assert (outcome.exit_status, outcome.reason.code) == (7, ReasonCode.EVICTED)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}


def test_a_script_that_the_kernel_ends_for_its_memory_is_told_so(launcher, pod):
    launcher.set(command=("python3", "-c", "x = bytearray(500 << 20)"), memory=64 << 20)
    launcher.add_task()
    pod.start("python")
    outcome = launcher.completion(timeout=60).outcome
    assert (outcome.exit_status, outcome.reason.code) == (137, ReasonCode.OUT_OF_MEMORY)
