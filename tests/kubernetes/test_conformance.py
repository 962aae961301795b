"""The backend contract on a real cluster: with exactly the rights of the Role, in a restricted namespace."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cluster import access
from cluster.places import ADDRESS

from fakes.forward import Forward
from fakes.launcher import TOKEN, FakeLauncher
from offload.backends.conformance import BackendConformance, site_of
from offload.backends.contract import BackendContext
from offload.backends.kubernetes import create
from offload.backends.kubernetes.names import POOL, pod_of
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode
from offload.model.resources import Resources


class Namespace:
    """A namespace, as the suite needs it."""

    token = TOKEN
    small = Resources(cpus=0.05, memory=32 << 20)
    whole = None  # other tests run on the same nodes
    too_large = None  # told only after minutes where nodes are tainted; see test_why.py
    patience = 60.0

    def __init__(self, directory, namespace, kubeconfig, launcher):
        self.directory = directory
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.launcher = launcher

    def open(self):
        settings = {
            "kubeconfig": str(self.kubeconfig),
            "namespace": self.namespace,
            "callback": self.launcher,
            "runner_image": "offload-runner:test",
            "images": {"default": "offload-test-busybox:test"},
            "image_pull_policy": "Never",
        }
        self.directory.mkdir(exist_ok=True)
        return create(
            BackendContext(
                cluster="rig",
                directory=self.directory,
                settings=settings,
                listening=(self.launcher,),
            )
        )

    async def kill(self, runner):
        access.kubectl(
            "-n",
            self.namespace,
            "delete",
            "pod",
            pod_of(runner),
            "--grace-period=0",
            "--force",
            "--wait=false",
        )

    async def leftovers(self, pool):
        found = access.kubectl(
            "-n", self.namespace, "get", "jobs,pods,secrets", "-l", f"{POOL}={pool}", "-o", "json"
        )
        return [item["kind"] + "/" + item["metadata"]["name"] for item in json.loads(found)["items"]]


@pytest.fixture
def cluster(cluster, tmp_path, namespace, account_kubeconfig):
    with FakeLauncher(tmp_path / "launcher.sock") as launcher, Forward(launcher.socket, ADDRESS) as forward:
        yield Namespace(tmp_path / "state", namespace, account_kubeconfig, forward.address)


class TestKubernetesBackend(BackendConformance):
    pass


async def test_a_runner_that_the_launcher_does_not_know_is_lost_with_what_it_printed(cluster):
    async with site_of(cluster) as site:
        pool = replace(site.pool(), token="of another launcher")
        await site.backend.scale(pool, 1)
        lost = await seen(site, pool, lambda one: one.phase is Phase.ENDED)
        assert lost.reason.code is ReasonCode.RUNNER_LOST
        assert "token" in lost.reason.words


async def seen(site, pool, condition):
    found = []

    def look():
        found[:] = [one for one in site.watching.seen if one.pool == pool.id and condition(one)]
        return found

    await site.watching.until(look)
    return found[0]
