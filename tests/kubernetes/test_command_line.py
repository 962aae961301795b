"""A person adds a cluster, asks what is missing, runs a script there and asks why, with the real command."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cluster import access

from fakes.person import Person, at_work, wait_until

HOST = "10.244.255.1"
"""Where pods reach this machine."""


@dataclass
class Analyst:
    """A person with a cluster called ``rig``."""

    person: Person
    namespace: str
    add: tuple[str, ...]

    def __getattr__(self, name: str):
        return getattr(self.person, name)


@pytest.fixture
def analyst(cluster, namespace, account_kubeconfig, tmp_path) -> Iterator[Analyst]:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with at_work(tmp_path / "person", KUBECONFIG=str(account_kubeconfig)) as person:
        home = tmp_path / "person" / "offload"
        home.mkdir(mode=0o700)
        (home / "config.toml").write_text(f'# Mine.\nlisten = ["{HOST}:{port}"]\n')
        images = ('images.python="offload-test-python:test"', 'image_pull_policy="IfNotPresent"')
        words = ["--namespace", namespace, "--callback", f"http://{HOST}:{port}"]
        words += [
            "--runner-image",
            "offload-runner:test",
            *(word for one in images for word in ("--set", one)),
        ]
        yield Analyst(person, namespace, ("clusters", "add", "rig", *words))
        for job in person.json("jobs")["jobs"]:
            person.offload("cancel", job["id"])
            person.offload("wait", job["id"], status=None)


def test_a_script_runs_on_a_cluster_that_was_just_added_and_its_files_come_home(analyst):
    analyst.offload(*analyst.add)
    analyst.write("fit.py", "print('out', flush=True)\nopen('made.txt', 'w').write('made')\n")
    shown = analyst.offload("run", "--on", "rig", "--show", "fit.py").stdout
    assert ["image", "offload-test-python:test", "cluster", "rig"] in [
        line.split() for line in shown.splitlines()
    ]
    assert analyst.offload("run", "--on", "rig", "fit.py").stdout == "out\n"
    assert (analyst.work / "made.txt").read_text() == "made"


def test_a_check_names_what_is_missing_and_its_yaml_is_what_the_administrator_has_to_apply(analyst):
    analyst.offload(*analyst.add)
    assert "all is fine" in analyst.offload("clusters", "check", "rig").stdout
    access.kubectl("delete", "role", "offload", "--namespace", analyst.namespace)
    refused = analyst.offload("clusters", "check", "rig", status=1).stdout
    assert "PROBLEM  rights" in refused
    assert analyst.namespace in refused
    request = analyst.offload("clusters", "check", "rig", "--yaml", status=1).stdout
    access.kubectl("apply", "--filename", "-", given=request)
    assert "all is fine" in analyst.offload("clusters", "check", "rig").stdout


def test_why_tells_what_a_job_waited_for_after_its_pods_are_gone_and_a_busy_cluster_stays(analyst):
    analyst.offload(*analyst.add)
    job = analyst.detach("--on", "rig", "--cpus", "500", "--", "true")

    def waits() -> list[dict]:
        return [one for one in analyst.json("why", job)["history"] if one["kind"] == "waiting"]

    reason = wait_until(lambda: [one for one in waits() if "cpu" in one["data"]["reason"]["words"]])[0]
    assert reason["data"]["reason"]["code"] in ("unschedulable", "waiting_for_node")
    if analyst.json("status", job)["job"]["state"] == "pending":
        refused = analyst.offload("clusters", "remove", "rig", status=125).stderr
        assert job in refused
    analyst.offload("cancel", job)
    analyst.offload("wait", job, status=None)
    wait_until(
        lambda: (
            not json.loads(access.kubectl("get", "pods,jobs", "-o", "json", "-n", analyst.namespace))["items"]
        )
    )
    assert reason in waits()
    assert reason["data"]["reason"]["words"] in analyst.offload("why", job).stdout
    wait_until(lambda: analyst.offload("clusters", "remove", "rig", status=None).returncode == 0)
    assert (analyst.root / "offload" / "config.toml").read_text().startswith("# Mine.\nlisten")
