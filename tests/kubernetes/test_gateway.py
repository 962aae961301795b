"""A launcher that nobody can reach, and that reaches nothing but the API server, and all that can go wrong.

The launcher runs in a network namespace behind a firewall. What is told of jobs elsewhere holds here, too:
each line and each file comes home once, attempts aren't lost, and nothing is left in the namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import access, control
from cluster.places import ADDRESS

from fakes.analyst import Analyst, analyst_at_work
from fakes.person import wait_until
from fakes.secluded import reached, secluded
from offload.backends.contract import Endpoint, Pool
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.gateway.gateway import Gateway
from offload.backends.kubernetes.kubeconfig import read_access
from offload.backends.kubernetes.settings import read_settings
from offload.model.ids import PoolId
from offload.model.resources import Resources

pytestmark = pytest.mark.own_cluster
SUSPENDED = 600.0 if os.environ.get("LONG_OUTAGES") else 100.0
"""Seconds for which a launcher is stopped: more than its leases last."""
LARGE = 500 << 20
COUNT = "for i in $(seq 40); do echo line $i; sleep 0.25; done; echo $OFFLOAD_TASK > made-$OFFLOAD_TASK.txt\n"
"""A task of ten seconds whose every line is known."""


@pytest.fixture
def secluded_analyst(cluster, tmp_path) -> Iterator[Analyst]:
    """An analyst whose machine reaches the API server alone."""
    namespace = f"secluded-{secrets.token_hex(3)}"
    with secluded(ADDRESS, 6443) as place, analyst_at_work(tmp_path, namespace) as analyst:
        assert place.reaches(ADDRESS, 6443)
        assert not place.reaches(ADDRESS, 10250)
        assert not reached(place.address, 22)
        analyst.prefix = place.prefix
        analyst.add("rig", callback="gateway")
        yield analyst


def gateways(namespace: str, kinds: str = "jobs,pods,services,networkpolicies") -> list[dict]:
    """What there is of gateways in the namespace."""
    found = access.kubectl("-n", namespace, "get", kinds, "-l", "offload.dev/gateway", "-o", "json")
    return [one for one in json.loads(found)["items"] if not one["metadata"].get("deletionTimestamp")]


def processes_of_gateway(analyst: Analyst) -> list[int]:
    uids = [pod["metadata"]["uid"] for pod in gateways(analyst.namespace, "pods")]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            group = (entry / "cgroup").read_text().replace("_", "-")
            if any(uid in group for uid in uids) and b"offload.gateway" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def check_counted_once(analyst: Analyst, job: str, tasks: int, *, timeout: float = 240.0) -> None:
    """Every task ran once, and every line and file of it is there once."""
    status = analyst.ended(job, timeout=timeout)
    assert status["job"]["state"] == "succeeded"
    assert [len(task["attempts"]) for task in status["tasks"]] == [1] * tasks
    for task in range(1, tasks + 1):
        printed = analyst.offload("logs", "--task", str(task), job).stdout
        assert printed.splitlines() == [f"line {n}" for n in range(1, 41)]
    analyst.offload("collect", job)
    made = {path.name: path.read_text().strip() for path in analyst.work.rglob("made-*.txt")}
    assert made == {f"made-{task}.txt": str(task) for task in range(1, tasks + 1)}


def test_everything_works_through_it(secluded_analyst):
    analyst = secluded_analyst
    analyst.write("fit.sh", "cat data.txt; echo told >&2; echo made > made.txt; exit 7\n")
    analyst.write("data.txt", "data of home\n")
    done = analyst.run("fit.sh", status=7)
    assert done.stdout == "data of home\n"
    assert done.stderr.startswith("told\n")
    assert (analyst.work / "made.txt").read_text() == "made\n"
    many = analyst.run("--array", "1-6", "--", "sh", "-c", "echo task $OFFLOAD_TASK").stdout
    assert sorted(many.splitlines()) == [f"task {n}" for n in range(1, 7)]
    job = analyst.submit("--", "sh", "-c", "echo up; sleep 300")
    analyst.wait_for_output(job, "up")
    analyst.offload("cancel", job)
    assert analyst.ended(job)["job"]["state"] == "cancelled"
    told = analyst.offload("clusters", "check", "rig").stdout
    assert re.search(r"dial a gateway .* \d+\.\d ms there and back, \d+ MB/s each way", told)
    analyst.wait_until_nothing_is_left()


def test_results_of_500_megabytes_come_home_unchanged(secluded_analyst):
    analyst = secluded_analyst
    script = f"head -c {LARGE} /dev/urandom > large; sha256sum < large\n"
    analyst.write("large.sh", script)
    printed = analyst.run("large.sh", timeout=300).stdout
    digest = hashlib.sha256((analyst.work / "large").read_bytes()).hexdigest()
    assert printed.split()[0] == digest


def test_killing_gateway_launcher_and_api_server_in_turn_loses_and_doubles_nothing(secluded_analyst):
    analyst = secluded_analyst
    analyst.write("count.sh", COUNT)
    job = analyst.submit("--array", "1-6", "count.sh")
    analyst.wait_for_output(job, "line 3")
    for pid in processes_of_gateway(analyst):
        os.kill(pid, signal.SIGKILL)
    analyst.wait_for_output(job, "line 12")
    assert analyst.kill("server")
    analyst.wait_for_output(job, "line 20")
    with control.stopped("kube-apiserver"):
        time.sleep(5)
    check_counted_once(analyst, job, 6)


def test_a_gateway_whose_pod_is_deleted_is_there_again_and_nothing_is_lost(secluded_analyst):
    analyst = secluded_analyst
    analyst.write("count.sh", COUNT)
    job = analyst.submit("--array", "1-2", "count.sh")
    analyst.wait_for_output(job, "line 3")
    (pod,) = gateways(analyst.namespace, "pods")
    analyst.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    check_counted_once(analyst, job, 2)
    (other,) = gateways(analyst.namespace, "pods")
    assert other["metadata"]["uid"] != pod["metadata"]["uid"]


def test_everything_of_a_gateway_that_is_deleted_is_made_again_at_the_same_address(secluded_analyst):
    analyst = secluded_analyst
    analyst.write("count.sh", COUNT)
    job = analyst.submit("count.sh")
    analyst.wait_for_output(job, "line 3")
    (before,) = gateways(analyst.namespace, "services")
    analyst.kubectl("delete", "jobs,services,networkpolicies", "-l", "offload.dev/gateway")
    check_counted_once(analyst, job, 1)
    (after,) = gateways(analyst.namespace, "services")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]


@pytest.mark.timeout(SUSPENDED + 300)
def test_a_laptop_that_sleeps_finds_everything_when_it_wakes_up(secluded_analyst):
    analyst = secluded_analyst
    analyst.write("count.sh", COUNT)
    job = analyst.submit("--array", "1-4", "count.sh")
    analyst.wait_for_output(job, "line 3")
    assert analyst.kill("server", signal.SIGSTOP)
    time.sleep(SUSPENDED)
    assert analyst.kill("server", signal.SIGCONT)
    check_counted_once(analyst, job, 4)


def test_two_launchers_share_a_namespace_and_one_is_upgraded_meanwhile(secluded_analyst, tmp_path):
    first, namespace = secluded_analyst, secluded_analyst.namespace
    second = Analyst(tmp_path / "second", namespace)
    second.prefix = first.prefix
    second.add("rig", callback="gateway")
    with second.callback, contextlib.ExitStack() as ends:
        ends.callback(second.leave)
        jobs = []
        for analyst in (first, second):
            analyst.write("count.sh", COUNT)
            jobs.append(analyst.submit("count.sh"))
        for analyst, job in zip((first, second), jobs, strict=True):
            analyst.wait_for_output(job, "line 3")
        before = {one["metadata"]["name"] for one in gateways(namespace, "jobs")}
        assert len(before) == 2
        # Another template, as another version has.
        second.kill("server")
        second.forget()
        second.add("rig", callback="gateway", cpu_limit=True)
        second.json("jobs")
        wait_until(
            lambda: (
                len({one["metadata"]["name"] for one in gateways(namespace, "jobs")} - before) == 1
                and len(gateways(namespace, "jobs")) == 2
            ),
            seconds=60,
            what="the upgraded gateway alone",
        )
        for analyst, job in zip((first, second), jobs, strict=True):
            check_counted_once(analyst, job, 1)


async def test_one_that_nobody_needs_is_taken_away_and_the_next_pool_gets_another(
    namespace, account_kubeconfig, tmp_path
):
    settings = read_settings(
        {"namespace": namespace, "runner_image": "offload-runner:test", "image_pull_policy": "Never"}, "rig"
    )
    needed = True

    async def endpoint() -> Endpoint:
        return Endpoint(socket=tmp_path / "none", certificate="none")

    client = Client(read_access(account_kubeconfig, None, {}))
    gateway = Gateway(
        client,
        settings,
        launcher="abcdef2345",
        directory=tmp_path,
        endpoint=endpoint,
        needed=lambda: needed,
        linger=0.5,
    )
    pool = Pool(
        id=PoolId("k7m2q9x-0"),
        user="anna",
        resources=Resources(),
        token="t",
        launcher="",
        submitted=0.0,
        grace=1.0,
    )
    reached_at = await gateway.reach(pool)
    assert re.fullmatch(r"https://10\.96\.\d+\.\d+:8750", reached_at.launcher)
    assert (await gateway.look()).works
    needed = False
    async with asyncio.timeout(60):
        await asyncio.to_thread(wait_until, lambda: not gateways(namespace), seconds=50)
    needed = True
    assert (await gateway.reach(pool)).certificate == "none"
    assert gateways(namespace, "services")
    await gateway.aclose()
    assert gateways(namespace, "services")
    await client.aclose()


def test_a_launcher_that_is_stopped_leaves_no_gateway_without_runners_behind(secluded_analyst):
    analyst = secluded_analyst
    analyst.run("--", "true")
    assert gateways(analyst.namespace)
    analyst.wait_until_nothing_is_left()
    analyst.offload("launcher", "stop")
    wait_until(lambda: not gateways(analyst.namespace), seconds=20)
