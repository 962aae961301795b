"""The cluster that the other tests trust does what a cluster does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cluster import access, audit, control, control_plane, pods, processes, simulated
from cluster.places import HERE, NODE, TREE
from cluster.processes import RigError, wait_until

BUSYBOX, PYTHON, R = "offload-test-busybox:test", "offload-test-python:test", "offload-test-r:test"
RUNNER, NO_SHELL = "offload-runner:test", "offload-test-noshell:test"
SHARED = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}


def _finished(namespace: str, image: str, *command: str, **more) -> dict:
    """A pod of one container that has ended."""
    pods.create(namespace, pods.pod("once", pods.spec(pods.container("main", image, command, **more))))
    return pods.wait_for_phase(namespace, "once", "Succeeded", "Failed")


def test_a_job_with_a_runner_beside_it_completes_and_both_can_be_read(namespace):
    beside = "mkfifo /shared/fifo; trap 'echo ended; exit 0' TERM; echo hello >/shared/fifo;"
    beside += "while :; do sleep 0.1; done"
    main = "until [ -p /shared/fifo ]; do sleep 0.1; done; cat /shared/fifo"
    runner = pods.container("runner", BUSYBOX, ["sh", "-c", beside], restartPolicy="Always", **SHARED)
    task = pods.container("task", BUSYBOX, ["sh", "-c", main], **SHARED)
    volumes = [{"name": "shared", "emptyDir": {}}]
    pods.create(namespace, pods.job("job", pods.spec(task, initContainers=[runner], volumes=volumes)))

    access.kubectl(
        "wait", "-n", namespace, "--for=condition=Complete", "job/job", "--timeout=60s", seconds=70
    )

    assert pods.logs(namespace, "job/job", "task") == "hello\n"
    assert pods.logs(namespace, "job/job", "runner") == "ended\n"


def test_a_container_over_its_memory_is_reported_as_killed_for_memory(namespace):
    limits = {"resources": {"limits": {"memory": "32Mi", "cpu": "200m"}}}
    ended = _finished(namespace, PYTHON, "python3", "-c", "b'x' * 10**9", **limits)
    [status] = ended["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"
    assert status["state"]["terminated"]["exitCode"] == 137


@pytest.mark.own_cluster
def test_a_pod_that_wants_a_gpu_runs_on_the_simulated_node_and_completes_when_told(namespace):
    wants = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    of = pods.spec(pods.container("main", BUSYBOX, **wants), tolerations=[simulated.TOLERATION])
    pods.create(namespace, pods.pod("gpu", of, annotations={"offload.test/completes-after": "1s"}))
    ended = pods.wait_for_phase(namespace, "gpu", "Succeeded")
    assert ended["spec"]["nodeName"] == simulated.GPU_NODE


@pytest.mark.own_cluster
def test_a_pod_that_wants_more_gpus_than_there_are_waits_and_an_event_says_why(namespace):
    wants = {"resources": {"limits": {"nvidia.com/gpu": 8}}}
    of = pods.spec(pods.container("main", BUSYBOX, **wants), tolerations=[simulated.TOLERATION])
    pods.create(namespace, pods.pod("gpu", of))

    def why() -> str:
        return access.kubectl("get", "events", "-n", namespace, "--output=jsonpath={.items[*].message}")

    wait_until("The scheduler's reason", lambda: "Insufficient nvidia.com/gpu" in why(), seconds=30)
    assert pods.look(namespace, "pod", "gpu")["status"]["phase"] == "Pending"


@pytest.mark.own_cluster
def test_simulated_nodes_come_and_go(cluster, namespace):
    simulated.add_node("fake-extra", {"cpu": 2, "memory": "4Gi"}, {"offload.test/extra": "yes"})
    try:
        of = pods.spec(pods.container("main", BUSYBOX), tolerations=[simulated.TOLERATION])
        of["nodeSelector"] = {"offload.test/extra": "yes"}
        pods.create(namespace, pods.pod("there", of))
        assert pods.wait_for_phase(namespace, "there", "Running")["spec"]["nodeName"] == "fake-extra"
    finally:
        simulated.remove_node("fake-extra")
    wait_until("Only known nodes", lambda: "fake-extra" not in cluster.kubectl("get", "nodes"), seconds=30)


def test_the_image_of_the_runner_works_as_any_user_with_nothing_to_write_to(namespace):
    ended = _finished(namespace, RUNNER)
    said = pods.logs(namespace, "once")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 2
    assert "A runner needs OFFLOAD_RUNNER, OFFLOAD_LAUNCHER" in said
    assert "Traceback" not in said


def test_the_image_of_the_runner_has_the_sources_of_this_tree_and_nothing_of_the_launcher(namespace):
    code = "import hashlib, importlib.util, pathlib, offload.errors as it\n"
    code += "print(hashlib.sha256(pathlib.Path(it.__file__).read_bytes()).hexdigest())\n"
    code += (
        "print([name for name in ('fastapi', 'sqlalchemy', 'pydantic') if importlib.util.find_spec(name)])"
    )
    _finished(namespace, RUNNER, "python3", "-P", "-c", code)
    digest = hashlib.sha256((TREE / "src/offload/errors.py").read_bytes()).hexdigest()
    assert pods.logs(namespace, "once").splitlines() == [digest, "[]"]


@pytest.mark.parametrize(
    ("image", "command", "said"),
    [
        (R, ["Rscript", "-e", "cat(6 * 7, '\\n')"], "42 \n"),
        (BUSYBOX, ["sh", "-c", "echo $((6 * 7))"], "42\n"),
        (NO_SHELL, ["/program", "42"], "42\n"),
    ],
    ids=["r", "busybox", "noshell"],
)
def test_an_image_of_the_tests_runs_its_program_given_a_place_for_temporary_files(
    namespace, image, command, said
):
    main = pods.container("main", image, command, volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}])
    pods.create(namespace, pods.pod("once", pods.spec(main, volumes=[{"name": "tmp", "emptyDir": {}}])))
    pods.wait_for_phase(namespace, "once", "Succeeded")
    assert pods.logs(namespace, "once") == said


def test_a_program_that_only_a_shell_would_find_does_not_start_without_one(namespace):
    pods.create(
        namespace, pods.pod("once", pods.spec(pods.container("main", NO_SHELL, ["sh", "-c", "true"])))
    )
    ended = pods.wait_for_phase(namespace, "once", "Failed")
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["reason"] == "StartError"


def test_a_pod_that_is_not_restricted_is_refused(namespace):
    loose = pods.pod("loose", {"containers": [{"name": "main", "image": BUSYBOX}]})
    with pytest.raises(RigError, match='violates PodSecurity "restricted'):
        pods.create(namespace, loose)


def test_the_account_of_a_namespace_has_rights_there_and_nowhere_else(account_kubeconfig, namespace):
    def may(*words: str) -> bool:
        return processes.succeeds(
            "env", f"KUBECONFIG={account_kubeconfig}", control.programs.kubectl(), "auth", "can-i", *words
        )

    assert may("create", "jobs.batch")
    assert may("get", "pods", "--subresource=log")
    assert not may("create", "jobs.batch", "--namespace=default")
    assert not may("list", "nodes")
    assert not may("create", "rolebindings.rbac.authorization.k8s.io")


@pytest.mark.own_cluster
def test_every_request_of_an_account_is_on_record(account_kubeconfig, namespace):
    begin = audit.position()
    access.kubectl("get", "pods", kubeconfig=account_kubeconfig)
    with pytest.raises(RigError, match="forbidden"):
        access.kubectl("get", "configmaps", kubeconfig=account_kubeconfig)
    user = f"system:serviceaccount:{namespace}:{access.ACCOUNT}"

    def asked() -> list[tuple[str, str, int]]:
        return [
            (one.verb, one.resource, one.status) for one in audit.requests(begin, user=user) if one.resource
        ]

    wait_until("Both requests", lambda: len(asked()) == 2, seconds=10)
    assert asked() == [("list", "pods", 200), ("list", "configmaps", 403)]


@pytest.mark.own_cluster
def test_a_client_certificate_is_known(cluster, tmp_path):
    certificate, key = control_plane.client_certificate(tmp_path, "ada")
    login = ("--client-certificate", certificate, "--client-key", key)
    empty = tmp_path / "kubeconfig"
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
    config["users"] = [{"name": user["name"], "user": {}} for user in config["users"]]
    empty.write_text(json.dumps(config))
    assert "ada" in access.kubectl("auth", "whoami", *login, kubeconfig=empty)


@pytest.mark.own_cluster
def test_pods_reach_services_and_this_machine_and_are_reached_from_it(namespace):
    serve = "mkdir /tmp/www; cd /tmp/www; echo served >page; exec python3 -m http.server 8080"
    tmp = {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
    of = pods.spec(
        pods.container("main", PYTHON, ["sh", "-c", serve], **tmp), volumes=[{"name": "tmp", "emptyDir": {}}]
    )
    pods.create(namespace, pods.pod("server", of, labels={"app": "server"}))
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"metadata": {"name": "server"}, "spec": {"selector": {"app": "server"}, "ports": ports}}
    pods.create(namespace, {"apiVersion": "v1", "kind": "Service", **service})
    address = pods.wait_for_phase(namespace, "server", "Running")["status"]["podIP"]
    virtual = pods.look(namespace, "service", "server")["spec"]["clusterIP"]

    def fetch(url: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    wait_until("The pod's answer", lambda: fetch(f"http://{address}:8080/page") == "served\n", seconds=20)
    wait_until("The Service's answer", lambda: fetch(f"http://{virtual}/page") == "served\n", seconds=20)
    code = "import sys, urllib.request as u; [print(u.urlopen(at, timeout=9).read()) for at in sys.argv[1:]]"
    urls = (f"http://{virtual}/page", f"http://{address}:8080/page")
    _finished(namespace, PYTHON, "python3", "-c", code, *urls)
    assert pods.logs(namespace, "once") == "b'served\\n'\n" * 2


@pytest.mark.own_cluster
def test_the_api_server_comes_back_with_what_it_knew_and_pods_go_on_meanwhile(namespace):
    of = pods.spec(pods.container("main", BUSYBOX, ["sh", "-c", "sleep 600"]))
    pods.create(namespace, pods.pod("sleeper", of))
    before = pods.wait_for_phase(namespace, "sleeper", "Running")
    with control.stopped("kube-apiserver"), pytest.raises(RigError, match="refused"):
        access.kubectl("get", "nodes", seconds=10)
    after = pods.look(namespace, "pod", "sleeper")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.own_cluster
def test_a_component_that_hangs_answers_nobody_until_it_may_go_on():
    with control.paused("kube-apiserver"), pytest.raises(RigError, match="took over 2 s"):
        access.kubectl("get", "nodes", seconds=2)
    assert NODE in access.kubectl("get", "nodes")


@pytest.mark.own_cluster
def test_a_simulated_node_is_lost_when_nobody_plays_its_kubelet(cluster):
    def ready() -> str:
        condition = '{.status.conditions[?(@.type=="Ready")].status}'
        return cluster.kubectl("get", "node", simulated.GPU_NODE, f"--output=jsonpath={condition}")

    with control.stopped("kwok"):
        wait_until("The node's loss", lambda: ready() == "Unknown", seconds=60)
    wait_until("The node's return", lambda: ready() == "True", seconds=60)


@pytest.mark.own_cluster
def test_up_on_a_cluster_that_runs_says_so_and_how_to_use_it():
    done = subprocess.run(
        [sys.executable, HERE, "up"], capture_output=True, text=True, timeout=100, check=True, env=os.environ
    )
    assert "The cluster was up already." in done.stderr
    assert done.stdout.startswith("export KUBECONFIG=")
    assert Path(done.stdout.split("=")[1].split()[0]).exists()


@pytest.mark.own_cluster
def test_up_starts_what_somebody_stopped_and_keeps_the_rest(namespace):
    pods.create(namespace, pods.pod("sleeper", pods.spec(pods.container("main", BUSYBOX, ["sleep", "600"]))))
    pods.wait_for_phase(namespace, "sleeper", "Running")
    control.stop("kube-scheduler")
    assert control.missing() == ["kube-scheduler"]
    done = subprocess.run(
        [sys.executable, HERE, "up"], capture_output=True, text=True, timeout=100, check=True
    )
    assert "Starting kube-scheduler again" in done.stderr
    assert control.missing() == []
    assert pods.look(namespace, "pod", "sleeper")["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.own_cluster
def test_an_unknown_component_is_answered_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, HERE, "stop", "kublet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "There is no component kublet. There are etcd, kube-apiserver," in done.stderr
