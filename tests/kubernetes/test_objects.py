"""A real API server takes the objects of a pool from just the account that Offload has; kubelet runs them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import access, pods
from cluster.access import kubectl
from cluster.processes import wait_until

from offload.backends.contract import Pool
from offload.backends.kubernetes.containers import agent_text
from offload.backends.kubernetes.job import build_job, build_secret
from offload.backends.kubernetes.rights import RIGHTS
from offload.backends.kubernetes.settings import read_settings
from offload.model.ids import PoolId
from offload.model.resources import Resources

TOKEN = "very-secret-token"
NOWHERE = "http://10.244.255.1:9"
BASE = f"""
callback = "{NOWHERE}"
runner_image = "offload-runner:test"
image_pull_policy = "IfNotPresent"
"""
EVERYTHING = """
cpu_limit = true
image_pull_secrets = ["registry"]
service_account = "offload"
max_lifetime = "1h"
default = { ephemeral_storage = "1Gi" }
security.read_only_root = true
[profiles.p]
node_selector = { "kubernetes.io/os" = "linux" }
tolerations = [{ key = "a", operator = "Equal", value = "b", effect = "NoSchedule" }]
priority_class = "system-cluster-critical"
[[profiles.p.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution]]
weight = 1
preference.matchExpressions = [{ key = "a", operator = "Exists" }]
[mounts.data]
claim = "data"
sub_path = "people/{user}"
[mounts.more]
claim = "data"
[secrets]
DB = { secret = "database", key = "password" }
[pod.metadata.annotations]
"example.com/why" = "because"
[pod.spec]
dnsPolicy = "Default"
hostAliases = [{ ip = "10.0.0.1", hostnames = ["db"] }]
"""
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("", {}),
    "everything": (EVERYTHING, {"profile": "p", "mounts": ("data", "more:/more")}),
    "gpus": ("", {"resources": Resources(cpus=0.5, memory=1 << 30, gpus=2)}),
    "queue": ("queue = 'small'", {}),
    "any user": ("security = { run_as_user = false, run_as_group = false, fs_group = false }", {}),
    "strange names": ("", {"home": "/home/änna/a $(HOME) b", "user": "anna@example.com", "name": "März\\'x"}),
    "for ever": ("max_lifetime = false", {"grace": 0.0}),
}


def objects(
    namespace: str, text: str, more: dict[str, Any], owner: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """The Secret and the Job of a pool."""
    settings = read_settings({**tomllib.loads(BASE + text), "namespace": namespace}, "rig")
    known = {
        "id": PoolId("k7m2q9x-0"),
        "user": "anna",
        "resources": Resources(cpus=0.05, memory=64 << 20),
        "token": TOKEN,
        "launcher": NOWHERE,
        "submitted": 0.0,
        "grace": 0.5,
        "home": "/home/anna/fit",
        "image": "offload-test-python:test",
    }
    pool = Pool(**{**known, **more})
    return [
        build_secret(pool, settings, launcher="tester2345", owner=owner),
        build_job(pool, settings, launcher="tester2345", generation=0, runners=1),
    ]


def listed(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def missing(whole: Any, part: Any, path: str = "") -> Iterator[str]:
    """What the API server didn't keep of what was asked; it adds defaults, and writes quantities anew."""
    if path.endswith(("resources", "sizeLimit")):
        return
    if isinstance(part, dict):
        for key, value in part.items():
            yield from missing(whole.get(key), value, f"{path}.{key}")
    elif isinstance(part, list) and len(part) == len(whole or ()):
        for at, (found, value) in enumerate(zip(whole, part, strict=True)):
            yield from missing(found, value, f"{path}.{at}")
    elif whole != part and part not in ("", [], {}):
        yield path


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_every_kind_of_job_from_the_account(variant, namespace, account_kubeconfig):
    asked = objects(namespace, *VARIANTS[variant], owner=("offload-k7m2q9x-0-0", "a-uid"))
    argv = (
        "apply",
        "--server-side",
        "--field-manager=offload",
        "--dry-run=server",
        "--output=json",
        "-f",
        "-",
    )
    answer = json.loads(kubectl(*argv, given=listed(asked), kubeconfig=account_kubeconfig))
    for made, one in zip(answer["items"], asked, strict=True):
        assert list(missing(made, one)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_restricted_namespace_takes_the_pod_of_every_kind_of_job(variant, namespace):
    template = objects(namespace, *VARIANTS[variant])[1]["spec"]["template"]
    pod = pods.pod("one", template["spec"], labels=template["metadata"]["labels"])
    argv = ("create", "--namespace", namespace, "--dry-run=server", "--output=name", "-f", "-")
    assert kubectl(*argv, given=json.dumps(pod)).strip() == "pod/one"


def review(namespace: str, *wanted: tuple[str, str, str, str]) -> list[bool]:
    """Whether the account may: verb, group, resource, subresource each."""
    who = f"system:serviceaccount:{namespace}:{access.ACCOUNT}"
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": who,
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                    "subresource": subresource,
                },
            },
        }
        for verb, group, resource, subresource in wanted
    ]
    told = '--output=jsonpath={.status.allowed}{"\\n"}'
    return [line == "true" for line in kubectl("create", told, "-f", "-", given=listed(reviews)).splitlines()]


def test_the_role_gives_each_right(namespace):
    wanted = [(verb, one.group, one.resource, one.subresource) for one in RIGHTS for verb in one.verbs]
    assert review(namespace, *wanted) == [True] * len(wanted)


def test_the_role_gives_nothing_else(namespace):
    others = [
        *(("get", "", "secrets", ""), ("list", "", "secrets", ""), ("create", "", "pods", "")),
        *(("get", "", "nodes", ""), ("delete", "", "events", ""), ("create", "", "pods", "exec")),
        ("create", "rbac.authorization.k8s.io", "roles", ""),
    ]
    assert review(namespace, *others) == [False] * len(others)


def run(namespace: str, text: str = "", **more: Any) -> str:
    """Make a pool with one runner; its pod, once both containers are ready."""
    kubectl("apply", "--server-side", "-f", "-", given=listed(objects(namespace, text, more)))
    selector = ("--namespace", namespace, "--selector=offload.dev/pool=k7m2q9x-0")
    wait_until("pod", lambda: bool(kubectl("get", "pods", *selector, "--output=name")), seconds=60)
    kubectl("wait", "--for=condition=Ready", "pod", *selector, "--timeout=60s", seconds=70)
    return kubectl("get", "pods", *selector, "--output=jsonpath={.items[0].metadata.name}")


def within(namespace: str, pod: str, container: str, script: str) -> str:
    """What a shell script prints in a container."""
    return kubectl("exec", "--namespace", namespace, pod, "--container", container, "--", "sh", "-c", script)


def test_the_agent_arrives_in_the_container_byte_for_byte(namespace):
    pod = run(namespace)
    argv = within(namespace, pod, "task", "cat /proc/1/cmdline").split("\0")
    assert argv[:4] == ["/bin/sh", "-c", agent_text(), "agent"]


def test_the_token_is_for_the_runner_alone(namespace):
    pod = run(namespace)
    assert within(namespace, pod, "runner", "cat $OFFLOAD_TOKEN_FILE") == TOKEN
    look = "cat /proc/1/environ /proc/1/cmdline /proc/mounts; find / -xdev -name token 2>/dev/null || true"
    seen = within(namespace, pod, "task", look)
    assert "/offload" in seen
    assert TOKEN not in seen
    assert "/var/run/offload" not in seen
    assert "/var/lib/offload" not in seen


def test_a_user_that_no_image_knows_can_write_where_tasks_write_and_nowhere_else(namespace):
    home = "/home/anna/a $(HOME) b"
    text = "security = { run_as_user = 123456, run_as_group = 0, fs_group = 654321, read_only_root = true }"
    pod = run(namespace, text, home=home)
    assert within(namespace, pod, "runner", 'printf %s "$OFFLOAD_FILES"') == home
    places = f"'{home}' /offload /tmp /dev/shm"
    script = f'id -u; for d in {places}; do touch "$d/x" && echo "$d"; done; touch /y 2>&1 || true'
    shown = within(namespace, pod, "task", script).splitlines()
    assert shown[:5] == ["123456", home, "/offload", "/tmp", "/dev/shm"]
    assert "Read-only file system" in shown[5]
    within(namespace, pod, "runner", 'test -e "$OFFLOAD_FILES/x" -a -e /offload/x && touch "$TMPDIR/x"')


def test_a_queue_lets_the_job_wait_without_a_pod(namespace):
    kubectl("apply", "--server-side", "-f", "-", given=listed(objects(namespace, "queue = 'small'", {})))
    job = "offload-k7m2q9x-0-0"
    wait_until(
        "Job suspended",
        lambda: any(
            one["type"] == "Suspended" and one["status"] == "True"
            for one in pods.look(namespace, "job", job)["status"].get("conditions", ())
        ),
        seconds=30,
    )
    assert kubectl("get", "pods", "--namespace", namespace, "--output=name") == ""
