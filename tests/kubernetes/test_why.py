"""What people are told on a real cluster, from the real backend, within the seconds that it may take."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time

import pytest
from cluster import access, simulated
from cluster.places import ADDRESS

from fakes.forward import Forward
from fakes.launcher import TOKEN, FakeLauncher
from offload.backends.contract import BackendContext, Pool
from offload.backends.kubernetes import create
from offload.backends.kubernetes.names import pod_of
from offload.model.ids import new_job_id, pool_id
from offload.model.observation import Phase
from offload.model.reasons import NOT_CHARGED, ReasonCode
from offload.model.resources import Resources

SMALL = Resources(cpus=0.05, memory=32 << 20)
SETTINGS = {
    "runner_image": "offload-runner:test",
    "images": {"default": "offload-test-busybox:test"},
    "image_pull_policy": "Never",
    "profiles": {"simulated": {"tolerations": [simulated.TOLERATION]}},
}


def quota(name, much):
    spec = {"hard": {name: much}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team-a"}, "spec": spec}


class Watched:
    """A backend, one pool on it, and everything that was seen of that pool."""

    def __init__(self, backend, launcher, namespace):
        self.backend = backend
        self.namespace = namespace
        self.launcher = launcher
        self.pool = pool_id(new_job_id())
        self.seen = []
        self._news = asyncio.Condition()
        self._watch = asyncio.create_task(self._listen())

    async def _listen(self):
        async for one in self.backend.watch():
            async with self._news:
                if getattr(one, "pool", None) == self.pool:
                    self.seen.append(one)
                self._news.notify_all()

    async def ask(self, *, resources=SMALL, **more):
        pool = Pool(
            id=self.pool,
            user="someone",
            resources=resources,
            token=TOKEN,
            launcher=self.launcher,
            submitted=time.time(),
            grace=1.0,
            **more,
        )
        await self.backend.scale(pool, 1)

    async def until(self, holds, *, seconds=90.0):
        """The first observation that is as wanted."""
        found = lambda: next((one for one in self.seen if holds(one)), None)  # noqa: E731  used twice
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(found)
        except TimeoutError:
            pytest.fail(f"Not within {seconds} s: {self.seen}")
        return found()

    async def refused(self, **asked):
        await self.ask(**asked)
        return (await self.until(lambda one: one.final)).reason

    async def running(self, **asked):
        await self.ask(**asked)
        return (await self.until(lambda one: one.phase is Phase.RUNNING and one.runner)).runner

    async def over(self, runner):
        return await self.until(
            lambda one: one.runner == runner and one.phase in (Phase.ENDED, Phase.GONE) and one.reason
        )

    def kubectl(self, *argv, given=None):
        return access.kubectl("-n", self.namespace, *argv, given=given)

    def apply(self, thing):
        self.kubectl("apply", "-f", "-", given=json.dumps(thing))

    async def aclose(self):
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch
        await self.backend.release(self.pool)
        await self.backend.aclose()


@pytest.fixture
async def watched(tmp_path, namespace, account_kubeconfig, request):
    more = getattr(request, "param", {})
    with FakeLauncher(tmp_path / "launcher.sock") as launcher, Forward(launcher.socket, ADDRESS) as forward:
        own = {"kubeconfig": str(account_kubeconfig), "namespace": namespace, "callback": forward.address}
        state = tmp_path / "state"
        state.mkdir()
        backend = create(BackendContext(cluster="rig", directory=state, settings={**SETTINGS, **own, **more}))
        watched = Watched(backend, forward.address, namespace)
        try:
            yield watched
        finally:
            await watched.aclose()


@pytest.mark.own_cluster
async def test_gpus_that_no_node_has_are_refused_within_a_minute(watched):
    reason = await watched.refused(resources=Resources(cpus=1, memory=1 << 30, gpus=64), profile="simulated")
    assert reason.code is ReasonCode.UNSCHEDULABLE
    assert "64 GPUs" in reason.sentence
    assert "on one node. The cluster has no such node, and nothing adds one" in reason.sentence
    assert "Insufficient nvidia.com/gpu" in reason.words


async def test_an_image_that_is_not_there_is_refused(watched):
    reason = await watched.refused(image="localhost/nowhere:1")
    assert reason.code is ReasonCode.IMAGE_UNAVAILABLE
    assert "localhost/nowhere:1" in reason.sentence


@pytest.mark.own_cluster
async def test_an_image_without_a_shell_is_refused(watched):
    reason = await watched.refused(image="offload-test-noshell:test")
    assert reason.code is ReasonCode.IMAGE_UNAVAILABLE
    assert "no shell" in reason.sentence


async def test_more_than_the_whole_quota_is_refused(watched):
    watched.apply(quota("requests.memory", "64Mi"))
    reason = await watched.refused()
    assert reason.code is ReasonCode.REFUSED
    assert "the whole quota is 64 MiB" in reason.sentence


async def test_a_quota_in_use_is_waited_for_until_it_has_room(watched):
    watched.apply(quota("pods", "1"))
    taken = {
        "name": "other",
        "image": "offload-test-busybox:test",
        "imagePullPolicy": "Never",
        "command": ["sleep", "600"],
    }
    taken["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {"containers": [taken], "terminationGracePeriodSeconds": 0}
    watched.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": spec})
    await watched.ask()
    waits = await watched.until(lambda one: one.reason and one.reason.code is ReasonCode.WAITING_FOR_QUOTA)
    assert not waits.final
    assert (
        waits.reason.sentence
        == "Waits until the quota team-a has room: it needs room for 1 pod (1 of 1 are in use)."
    )
    watched.kubectl("delete", "pod", "other")
    await watched.until(lambda one: one.phase is Phase.RUNNING and one.runner)


@pytest.mark.parametrize("watched", [{"pod": {"spec": {"hostNetwork": True}}}], indirect=True)
async def test_a_pod_that_the_namespace_does_not_allow_is_refused(watched):
    reason = await watched.refused()
    assert reason.code is ReasonCode.REFUSED
    assert "security level restricted" in reason.sentence
    assert "hostNetwork" in reason.words


@pytest.mark.parametrize(
    "watched", [{"secrets": {"DB": {"secret": "database", "key": "password"}}}], indirect=True
)
async def test_a_secret_that_is_missing_is_refused(watched):
    reason = await watched.refused()
    assert reason.code is ReasonCode.REFUSED
    assert reason.sentence.startswith(
        "The Secret database, which the cluster's settings name, doesn't exist."
    )


@pytest.mark.parametrize(
    "watched", [{"mounts": {"data": {"claim": "nothing", "path": "/data"}}}], indirect=True
)
async def test_a_volume_claim_that_is_missing_is_refused(watched):
    reason = await watched.refused(mounts=("data",))
    assert reason.code is ReasonCode.REFUSED
    assert reason.sentence.startswith("The volume claim nothing doesn't exist.")


@pytest.mark.parametrize(
    "watched", [{"mounts": {"data": {"claim": "nothing", "path": "/data"}}}], indirect=True
)
async def test_a_namespace_that_is_never_quiet_delays_no_refusal(watched):
    async def noise():
        for number in itertools.count():
            name = f"noise-{number}"
            about = {"kind": "Pod", "name": "other", "namespace": watched.namespace}
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": about}
            await asyncio.to_thread(watched.apply, event)

    making = asyncio.create_task(noise())
    try:
        await watched.ask(mounts=("data",))
        await watched.until(lambda one: one.final, seconds=40)
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def test_a_pod_that_somebody_deletes_is_lost_and_not_charged(watched):
    runner = await watched.running()
    watched.kubectl("delete", "pod", pod_of(runner), "--wait=false")
    over = await watched.over(runner)
    assert over.reason.code is ReasonCode.RUNNER_LOST
    assert over.reason.code in NOT_CHARGED
    assert over.reason.sentence == "Its pod was deleted from the cluster, by a person or by a program."


async def test_a_pod_that_is_evicted_is_told_apart_from_one_that_is_deleted(watched):
    runner = await watched.running()
    name = pod_of(runner)
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": watched.namespace},
    }
    path = f"/api/v1/namespaces/{watched.namespace}/pods/{name}/eviction"
    watched.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(body))
    over = await watched.over(runner)
    assert over.reason.code is ReasonCode.EVICTED
