"""What goes wrong around a job on a cluster, and that the job ends well all the same.

Containers, pods and objects that disappear; strangers in the namespace; an API server, a node or a launcher
that is away for a while; a clock that is wrong. Whatever it is: there is one job, its output and files come
home once, attempts that nobody can be blamed for aren't charged, and nothing is left in the namespace.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import control, simulated
from cluster.places import NODE

from fakes.analyst import Analyst, analyst_at_work
from fakes.person import wait_until
from fakes.skewed_clock import SkewedClock
from offload.backends.kubernetes.names import LAUNCHER, POOL

LONG_OUTAGES = bool(os.environ.get("LONG_OUTAGES"))
OUTAGE = 600.0 if LONG_OUTAGES else 30.0
"""Seconds for which an API server is away."""
TWICE = 'echo "try $OFFLOAD_ATTEMPT"; if [ $OFFLOAD_ATTEMPT = 1 ]; then sleep 300; fi; echo done > made.txt\n'
"""A script whose first attempt goes on until something ends it."""
PATIENT = "echo up; until [ -e go ]; do sleep 0.1; done\n"


@pytest.fixture(scope="module")
def analyst(cluster, tmp_path_factory) -> Iterator[Analyst]:
    with analyst_at_work(tmp_path_factory.mktemp("faults"), f"faults-{secrets.token_hex(3)}") as analyst:
        analyst.add("rig")
        yield analyst


@pytest.fixture
def here(analyst, request) -> Analyst:
    """The analyst, in an empty working directory."""
    analyst.work = analyst.root / re.sub(r"\W", "-", request.node.name)
    analyst.work.mkdir()
    return analyst


@pytest.fixture
def alone(cluster, tmp_path, request) -> Iterator[Analyst]:
    """An analyst with a launcher and a namespace for this test."""
    with analyst_at_work(
        tmp_path, f"alone-{secrets.token_hex(3)}", **getattr(request, "param", {})
    ) as analyst:
        analyst.add("rig")
        yield analyst


def processes_of(pod: dict, word: str) -> list[int]:
    """First processes of a pod's containers, on this machine, with a word on their command line."""
    uid, found = pod["metadata"]["uid"].replace("-", "[-_]"), []
    for entry in Path("/proc").iterdir():
        try:
            if re.search(uid, (entry / "cgroup").read_text()):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                first = re.search(r"^NSpid:.*\s1$", (entry / "status").read_text(), re.MULTILINE)
                found += [int(entry.name)] if word in words and first else []
        except (OSError, ValueError):
            continue
    return found


def started(analyst: Analyst, text: str, until: str, *words: str) -> str:
    """Start a script that is called ``job.sh``, and return the job's id once it has printed something."""
    analyst.write("job.sh", text)
    job = analyst.submit(*words, "job.sh")
    analyst.wait_for_output(job, until)
    return job


def check_run_again(analyst: Analyst, job: str, *codes: str) -> None:
    """The job has succeeded with its second attempt; the first one is nobody's fault."""
    status = analyst.ended(job)
    (task,) = status["tasks"]
    lost, succeeded = task["attempts"]
    assert (lost["state"], succeeded["state"]) == ("lost", "succeeded")
    assert lost["reason"]["code"] in codes
    assert analyst.printed(job).splitlines() == ["try 1", "try 2"]
    analyst.offload("collect", job)
    assert (analyst.work / "made.txt").read_text() == "done\n"
    analyst.wait_until_nothing_is_left(job)


# --- containers and objects that disappear ---------------------------------------------------------


@pytest.mark.parametrize("how", [(), ("--grace-period=0", "--force")], ids=["with grace", "at once"])
def test_a_task_whose_pod_is_deleted_runs_again_and_is_not_charged(here, how):
    job = started(here, TWICE, "try 1", "--grace", "1s")
    here.kubectl("delete", "pod", *here.pods(job), "--wait=false", *how)
    check_run_again(here, job, "evicted", "runner_lost")


def test_what_a_task_saved_is_there_in_another_pod(here):
    text = 'n=$(cat $OFFLOAD_CHECKPOINT/n); echo had ${n:-nothing}; [ -n "$n" ] && exit 0\n'
    saves = "trap 'echo some > $OFFLOAD_CHECKPOINT/n; exit 1' TERM; echo up; while :; do sleep 0.1; done\n"
    job = started(here, text + saves, "up")
    here.kubectl("delete", "pod", *here.pods(job), "--wait=false")
    assert here.ended(job)["job"]["state"] == "succeeded"
    assert here.printed(job).splitlines() == ["had nothing", "up", "had some"]


@pytest.mark.own_cluster
@pytest.mark.parametrize("word", ["offload.runner", "agent"])
def test_a_task_whose_container_is_killed_runs_again_and_is_not_charged(here, word):
    job = started(here, TWICE, "try 1")
    (pod,) = here.objects(job, "pods")
    (pid,) = processes_of(pod, word)
    os.kill(pid, signal.SIGKILL)
    check_run_again(here, job, "runner_lost")


@pytest.mark.parametrize("propagation", ["background", "foreground"])
def test_a_job_that_somebody_deletes_on_the_cluster_is_made_again(here, propagation):
    job = started(here, TWICE, "try 1", "--grace", "1s")
    (kept,) = here.objects(job, "jobs")
    here.kubectl("delete", "job", kept["metadata"]["name"], "--wait=false", f"--cascade={propagation}")
    check_run_again(here, job, "evicted")


def test_a_secret_that_somebody_deletes_is_missed_by_no_runner(here):
    job = started(here, TWICE, "try 1", "--grace", "1s")
    here.kubectl("delete", "secret", "-l", f"{POOL}")
    here.kubectl("delete", "pod", *here.pods(job), "--wait=false")
    check_run_again(here, job, "evicted")


# --- strangers in the namespace --------------------------------------------------------------------


def test_objects_of_others_are_left_alone_whatever_labels_they_have(here):
    job = started(here, PATIENT, "up")
    (mine,) = here.objects(job, "jobs")
    copies = {"copy": {}, f"{mine['metadata']['name']}-debug": {}, "offload-other": {LAUNCHER: "abcdefghjk"}}
    for name, labels in copies.items():
        given = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": {**mine["metadata"]["labels"], **labels}},
            "spec": {"suspend": True, "template": _template(mine)},
        }
        here.kubectl("apply", "-f", "-", given=json.dumps(given))
    here.kubectl("delete", "pod", *here.pods(job), "--wait=false")  # so that all is looked at anew
    wait_until(lambda: here.printed(job).count("up") == 2, seconds=60)
    here.offload("cancel", job)
    here.ended(job)
    wait_until(lambda: not here.pods(job), seconds=60)
    wait_until(lambda: {one["metadata"]["name"] for one in here.objects(job)} == set(copies))
    here.kubectl("delete", "job", *copies)
    warnings = [line for line in here.log_of_launcher().splitlines() if "Traceback" in line]
    assert warnings == []


def _template(job: dict) -> dict:
    spec = job["spec"]["template"]["spec"]
    return {"metadata": {"labels": {"mine": "yes"}}, "spec": {**spec, "volumes": spec["volumes"]}}


def test_what_is_left_of_a_job_that_nobody_knows_is_removed_when_the_launcher_starts(alone):
    job = started(alone, PATIENT, "up")
    alone.kill("server")
    wait_until(lambda: not alone.pids_of("server"))
    for file in (alone.root / "offload").rglob("store.sqlite*"):
        file.unlink()
    assert alone.objects(job)
    assert alone.json("jobs")["jobs"] == []
    alone.wait_until_nothing_is_left(job)


# --- ways that are broken for a while --------------------------------------------------------------


def test_what_is_printed_while_the_launcher_cannot_be_reached_arrives_afterwards(here):
    text = "echo up; for n in $(seq 80); do echo line $n; sleep 0.1; done; echo done > made.txt\n"
    job = started(here, text, "line 3")
    here.callback.unplug()
    before = here.printed(job)
    time.sleep(10)  # the script ends meanwhile
    assert here.printed(job).startswith(before)
    assert here.json("status", job)["job"]["state"] == "running"
    here.callback.plug()
    assert here.ended(job)["job"]["state"] == "succeeded"
    assert here.printed(job).splitlines() == ["up", *(f"line {n}" for n in range(1, 81))]
    (task,) = here.json("status", job)["tasks"]
    assert len(task["attempts"]) == 1


def test_a_job_whose_runner_never_reaches_the_launcher_says_so(alone):
    alone.callback.unplug()
    job = alone.submit("--", "true")
    reason = wait_until(
        lambda: (
            (found := alone.json("status", job)["job"]["reason"])
            and found["code"] == "launcher_unreachable"
            and found
        ),
        seconds=40,
    )
    assert "hasn't reached the launcher" in reason["sentence"]
    alone.callback.plug()
    assert alone.ended(job)["job"]["state"] == "succeeded"


@pytest.mark.own_cluster
@pytest.mark.timeout(OUTAGE + 240)
def test_a_job_goes_on_and_ends_well_while_the_api_server_is_away(alone):
    lines = int(OUTAGE) + 8
    text = f"for n in $(seq {lines}); do echo line $n; sleep 1; done; echo done > made.txt\n"
    job = started(alone, text, "line 2\n")
    short = alone.submit("--", "sh", "-c", "echo short; sleep 5; echo end")
    alone.wait_for_output(short, "short")
    with control.stopped("kube-apiserver"):
        until = time.monotonic() + OUTAGE
        assert alone.ended(short)["job"]["state"] == "succeeded"
        waiting = alone.submit("--", "echo", "waited")
        alone.wait_for_output(job, f"line {int(OUTAGE) - 10}\n", seconds=OUTAGE)
        assert alone.json("status", job)["job"]["state"] == "running"
        time.sleep(max(0.0, until - time.monotonic()))
    assert alone.ended(job)["job"]["state"] == "succeeded"
    assert alone.printed(job).splitlines() == [f"line {n}" for n in range(1, lines + 1)]
    wait_until(lambda: alone.objects(waiting, "jobs"), seconds=60)
    if LONG_OUTAGES:  # the cluster's own controllers take more than a minute to make a pod again
        assert alone.ended(waiting, timeout=180)["job"]["state"] == "succeeded"
    alone.offload("cancel", waiting)
    for one in (job, short):
        (task,) = alone.json("status", one)["tasks"]
        assert len(task["attempts"]) == 1
    wait_until(lambda: not alone.objects(kinds="jobs,secrets"), seconds=60)
    assert "Traceback" not in alone.log_of_launcher()


@pytest.mark.own_cluster
@pytest.mark.timeout(480)
def test_a_job_survives_that_its_node_is_lost_for_a_while(here):
    job = started(here, "echo up; sleep 50; echo still; echo done > made.txt\n", "up")
    with control.paused("kubelet"):
        ready = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        wait_until(lambda: here.kubectl("get", "node", NODE, ready) == "Unknown", seconds=60)
    assert here.ended(job, timeout=150)["job"]["state"] == "succeeded"
    assert here.printed(job).splitlines()[-2:] == ["up", "still"]
    here.offload("collect", job)
    assert (here.work / "made.txt").read_text() == "done\n"
    here.wait_until_nothing_is_left(job)


@pytest.mark.own_cluster
@pytest.mark.timeout(480)
def test_a_pod_that_its_lost_node_never_ends_is_replaced(alone):
    node = {"nodeSelector": {"offload.test/pool": "gpu"}, "tolerations": [simulated.TOLERATION]}
    alone.add("silent", pod={"spec": node})
    job = alone.submit("--", "true", on="silent")
    # After the API server was away, the cluster's own controllers may take more than a minute to make a pod.
    wait_until(
        lambda: [one for one in alone.objects(job, "pods") if one["status"]["phase"] == "Running"],
        seconds=180,
    )
    (lost,) = alone.pods(job)
    with control.stopped("kwok"):
        alone.kubectl("delete", "pod", lost, "--wait=false", "--grace-period=1")
        wait_until(lambda: set(alone.pods(job)) - {lost}, seconds=180, what="another pod")
    alone.offload("cancel", job)
    alone.wait_until_nothing_is_left(job)


# --- clocks ----------------------------------------------------------------------------------------


def test_a_launcher_whose_clock_is_wrong_judges_the_cluster_by_the_cluster_s_own(cluster, tmp_path):
    clock = SkewedClock(tmp_path)
    clock.jump(5 * 3600)
    with analyst_at_work(tmp_path / "work", f"clock-{secrets.token_hex(3)}", **clock.env) as analyst:
        analyst.add("rig")
        analyst.add("lacking", secrets={"PASSWORD": {"secret": "lacking", "key": "word"}})
        begin = time.monotonic()
        job = analyst.submit("--", "true", on="lacking")
        assert analyst.run("--", "echo", "fine").stdout == "fine\n"
        assert analyst.ended(job)["job"]["state"] == "failed"
        assert 10 < time.monotonic() - begin < 60, "given up at once, as if hours had passed, or never"
        assert "The Secret lacking" in analyst.offload("why", job).stdout
        analyst.wait_until_nothing_is_left()
