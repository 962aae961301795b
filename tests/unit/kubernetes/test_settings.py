"""A cluster's table in config.toml: what it may say, and what is told when it says something else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from offload.backends.kubernetes.mounts import Mount, Nfs
from offload.backends.kubernetes.profiles import PROFILE, Amounts
from offload.backends.kubernetes.security import SecretKey
from offload.backends.kubernetes.settings import SETTINGS, KubernetesSettings, read_settings
from offload.errors import SettingsError

EVERYTHING = """
context = "my-eks"
kubeconfig = "/etc/offload/kubeconfig"
namespace = "analytics"
callback = "http://10.0.0.5:8750/"
runner_image = "registry.example.com:5000/tools/offload-runner:0.1.0"
images = { R = "rocker/tidyverse:4.4", julia = "julia:1" }
allowed_images = ["rocker/*", "*.dkr.ecr.*.amazonaws.com/*"]
image_pull_policy = "IfNotPresent"
image_pull_secrets = ["registry"]
default = { cpus = 2, memory = "4Gi" }
maximum = { cpus = 64, memory = "512Gi", gpus = 8 }
max_runners = 200
max_lifetime = "2d"
cpu_limit = true
service_account = "analysts"
queue = "small"
queues = ["large"]

[profiles.gpu-large]
cpus = 16
memory = "128Gi"
gpus = 4
ephemeral_storage = "200Gi"
gpu_resource = "nvidia.com/gpu"
cpu_limit = false
node_selector = { "node.kubernetes.io/instance-type" = "p4d.24xlarge" }
tolerations = [{ key = "dedicated", operator = "Equal", value = "gpu", effect = "NoSchedule" }]
affinity = { nodeAffinity = {} }
priority_class = "high"
runtime_class = "nvidia"
queue = "gpu"
maximum = { gpus = 4 }

[mounts.data]
nfs = { server = "nfs.example.com", path = "/export/data" }
path = "/data"
read_only = true

[mounts.home]
claim = "homes"
sub_path = "people/{user}"
users = ["anna", "ben"]

[secrets]
DB_PASSWORD = { secret = "database", key = "password" }

[security]
run_as_user = 4711
fs_group = false
read_only_root = true

[pod.spec]
dnsPolicy = "None"
"""


def mistakes(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(tomllib.loads(text), "eks")
    assert all(key in caught.value.next_step for key in SETTINGS)
    return caught.value.sentence


def test_everything_has_a_default():
    settings = read_settings({}, "eks")
    assert settings == KubernetesSettings()
    assert (settings.default.cpus, settings.default.memory) == (1, 2 << 30)
    assert settings.any_image == settings.images["default"]


def test_every_setting_is_read():
    settings = read_settings(tomllib.loads(EVERYTHING), "eks")
    assert set(tomllib.loads(EVERYTHING)) | {"in_cluster"} == set(SETTINGS)
    assert settings.callback == "http://10.0.0.5:8750"
    assert (settings.default.cpus, settings.default.memory) == (2, 4 << 30)
    assert settings.images["R"] == "rocker/tidyverse:4.4"
    assert settings.images["default"] == KubernetesSettings().images["default"]
    assert settings.max_lifetime == 2 * 86400
    gpu = settings.profiles["gpu-large"]
    assert gpu.amounts == Amounts(cpus=16, memory=128 << 30, gpus=4, ephemeral_storage=200 << 30)
    assert (gpu.cpu_limit, settings.cpu_limit) == (False, True)
    assert settings.mounts == {
        "data": Mount(nfs=Nfs(server="nfs.example.com", path="/export/data"), path="/data", read_only=True),
        "home": Mount(claim="homes", sub_path="people/{user}", users=("anna", "ben")),
    }
    assert settings.secrets == {"DB_PASSWORD": SecretKey(secret="database", key="password")}
    assert (settings.security.run_as_user, settings.security.fs_group) == (4711, None)
    assert settings.pod == {"spec": {"dnsPolicy": "None"}}


def test_all_mistakes_are_told_at_once_with_the_valid_keys():
    told = mistakes(
        """
        contxt = "x"
        namespace = "My Space"
        callback = "10.0.0.5:8750"
        images = { cobol = "x", R = "Not An Image" }
        default = { cpus = "many", gpus = 1 }
        image_pull_policy = "Sometimes"
        max_runners = 0
        [profiles.gpu]
        gpu = 1
        memory = "lots"
        [profiles.Big]
        [mounts.data]
        path = "/data"
        [mounts.etc]
        claim = "x"
        path = "/etc"
        [mounts.typo]
        host_path = "/srv/{usr}"
        [secrets]
        HOME = { secret = "a", key = "b" }
        "A B" = { secret = "a", key = "b" }
        TOKEN = { secret = "a" }
        """
    )
    for part in (
        "contxt: there is no such setting; here are valid: context, kubeconfig,",
        "namespace: 'My Space' isn't a name",
        "callback: '10.0.0.5:8750' is neither 'gateway' nor an address such as",
        "images.cobol: there is no such language; the languages are R, python,",
        "images.R: 'Not An Image' isn't a container image",
        "default.cpus: 'many' is not a number of CPUs",
        "default.gpus: there is no such setting; here are valid: cpus, memory, ephemeral_storage",
        "image_pull_policy: 'Sometimes' isn't one of Always, IfNotPresent, Never",
        "max_runners: a cluster without runners",
        "profiles.gpu.gpu: there is no such setting; here are valid: cpus, memory, gpus,",
        "profiles.gpu.memory: 'lots' is not an amount of memory",
        "profiles.Big: 'Big' isn't a name",
        "mounts.data: a mount has exactly one of nfs, claim, host_path",
        "mounts.etc.path: /etc would hide a part of the image",
        "mounts.typo.host_path: '/srv/{usr}' has '{usr}'; only {user}",
        "secrets.HOME: Offload sets this variable itself",
        "secrets.A B: 'A B' isn't the name of a variable",
        "secrets.TOKEN: key missing",
    ):
        assert part in told


def test_each_mistake_has_the_path_of_its_key_so_that_its_line_can_be_told():
    with pytest.raises(SettingsError) as caught:
        read_settings({"profiles": {"gpu": {"cpus": "x"}}, "nope": 1}, "eks")
    assert [path for path, _ in caught.value.details["mistakes"]] == [["profiles", "gpu", "cpus"], ["nope"]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("in_cluster = true\ncontext = 'x'", "context: that contradicts in_cluster = true"),
        ("in_cluster = true\nkubeconfig = 'x'", "kubeconfig: that contradicts in_cluster = true"),
        (
            "default = { memory = '4Gi' }\nmaximum = { memory = '2Gi' }",
            "default: that is more than its own maximum",
        ),
        (
            "profiles.big.cpus = 8\nmaximum.cpus = 4",
            "profiles.big: that is more than its own maximum: 8 CPUs",
        ),
        ("profiles.big = { gpus = 2, maximum = { gpus = 1 } }", "profiles.big: that is more than its own"),
        ("[security]\nrun_as_user = 0", "security.run_as_user: 0 is root: that contradicts run_as_non_root"),
        ("mounts.a = { claim = 'x', host_path = '/y' }", "mounts.a: a mount has exactly one of"),
        ("callback = 'http://127.0.0.1:1'", "callback: pods can't reach this machine as 127.0.0.1"),
        ("callback = 'http://[::1]:1'", "callback: pods can't reach this machine as ::1"),
    ],
)
def test_what_contradicts_something_else_is_told(text, part):
    assert part in mistakes(text)


def test_a_profile_may_have_more_than_the_cluster_where_it_says_so():
    settings = read_settings(
        tomllib.loads("profiles.big = {cpus = 8, maximum.cpus = 16}\nmaximum.cpus = 4"), "x"
    )
    assert settings.profiles["big"].maximum.cpus == 16


@pytest.mark.parametrize(
    ("patch", "part"),
    [
        ("kind = 'Pod'", "pod.kind: kind isn't a table that can be patched; these are: metadata, spec"),
        ("[pod.metadata]\nname = 'x'", "pod.metadata: metadata.name isn't a table"),
        ("[pod.metadata.labels]\n'offload.dev/pool' = 'x'", "the labels offload.dev/… and"),
        ("[pod.spec]\nrestartPolicy = 'Always'", "spec.restartPolicy can't be patched"),
        ("[pod.spec]\nshareProcessNamespace = true", "spec.shareProcessNamespace can't be true"),
        ("[pod.spec]\nhostPID = true", "spec.hostPID can't be true"),
        ("[[pod.spec.containers]]\nname = 'task'\n'$patch' = 'delete'", "the container 'task'"),
        ("[[pod.spec.containers]]\nname = 'task'\ncommand = ['x']", "the container 'task'"),
        ("[[pod.spec.initContainers]]\nname = 'runner'\nrestartPolicy = 'Never'", "the container 'runner'"),
        ("[[pod.spec.containers]]\nimage = 'x'", "every element of containers needs 'name'"),
        ("[pod.spec]\n'$setElementOrder/volumes' = []", "isn't understood"),
        ("[pod.spec]\nhostname = 2026-01-01", "can't be said in JSON"),
    ],
)
def test_a_patch_that_would_break_the_pod_is_refused(patch, part):
    assert part in mistakes(patch if patch.startswith("[") else f"[pod]\n{patch}")


def test_every_key_tells_what_it_is_for():
    assert all(key.about for key in (*SETTINGS.values(), *PROFILE.values()))


def test_every_example_for_administrators_is_valid():
    page = (Path(__file__).parents[3] / "docs/howto/kubernetes-admin.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        written = tomllib.loads(example)["clusters"]["eks"]
        written.pop("backend", None)
        read_settings(written, "eks")
