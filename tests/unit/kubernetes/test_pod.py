"""The objects of a pool: its Job, its pod and its Secret, promise by promise."""

from __future__ import annotations

import base64
import json
import tomllib

import pytest

from offload.backends.contract import Pool
from offload.backends.kubernetes.containers import agent_text, literal
from offload.backends.kubernetes.job import build_job, build_secret
from offload.backends.kubernetes.places import FILES, files_place, mount_refusal
from offload.backends.kubernetes.settings import read_settings
from offload.errors import UsageError
from offload.model.ids import PoolId
from offload.model.resources import Resources

TOKEN = "very-secret-token"


def settings(text=""):
    return read_settings(tomllib.loads(text), "eks")


def pool(**more):
    known = {
        "id": PoolId("k7m2q9x-0"),
        "user": "anna",
        "resources": Resources(cpus=2.5, memory=8 << 30),
        "token": TOKEN,
        "launcher": "unix:/run/launcher.sock",
        "submitted": 0.0,
        "grace": 10.5,
        "name": "Fit of März",
        "home": "/home/anna/fit",
        "image": "rocker/r-ver:4.4",
    }
    return Pool(**{**known, **more})


def job(text="", *, runners=3, generation=1, **more):
    return build_job(
        pool(**more), settings(text), launcher="abcdef2345", generation=generation, runners=runners
    )


def pod(text="", **more):
    return job(text, **more)["spec"]["template"]["spec"]


def containers(spec):
    return spec["containers"][0], spec["initContainers"][0]


def mounts_of(container):
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def env_of(container):
    return {one["name"]: one.get("value") for one in container["env"]}


def test_the_job_keeps_runners_alive_and_is_removed_whatever_happens():
    made = job(runners=4, generation=2)
    assert made["metadata"]["name"] == "offload-k7m2q9x-0-2"
    spec = made["spec"]
    assert spec["parallelism"] == 4
    assert "completions" not in spec
    assert spec["ttlSecondsAfterFinished"] == 600
    assert spec["activeDeadlineSeconds"] == 7 * 86400
    assert "activeDeadlineSeconds" not in job("max_lifetime = false")["spec"]
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_names_and_labels_say_whose_everything_is():
    made = job()
    expected = {
        "app.kubernetes.io/managed-by": "offload",
        "offload.dev/launcher": "abcdef2345",
        "offload.dev/pool": "k7m2q9x-0",
        "offload.dev/job": "k7m2q9x",
        "offload.dev/user": "anna",
    }
    secret = build_secret(pool(), settings(), launcher="abcdef2345")
    for metadata in (made["metadata"], made["spec"]["template"]["metadata"], secret["metadata"]):
        assert metadata["labels"] == expected
        assert metadata["annotations"]["offload.dev/name"] == "Fit of März"


@pytest.mark.parametrize("user", ["", "anna@example.com", "ä", "a" * 64, "-a"])
def test_a_user_name_that_is_no_value_of_a_label_is_an_annotation_alone(user):
    metadata = job(user=user)["metadata"]
    assert "offload.dev/user" not in metadata["labels"]
    assert metadata["annotations"]["offload.dev/user"] == user


def test_the_token_is_in_the_secret_and_nowhere_else():
    assert TOKEN not in json.dumps(job())
    assert base64.b64encode(TOKEN.encode()).decode() not in json.dumps(job())
    secret = build_secret(
        pool(), settings(), launcher="abcdef2345", owner=("offload-k7m2q9x-0-1", "some-uid")
    )
    assert base64.b64decode(secret["data"]["token"]).decode() == TOKEN
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "some-uid"
    assert "ownerReferences" not in build_secret(pool(), settings(), launcher="x")["metadata"]


def test_scripts_see_neither_the_token_nor_the_runners_own_directory():
    task, runner = containers(pod())
    assert {"token", "private"} <= set(mounts_of(runner).values())
    assert not {"token", "private"} & set(mounts_of(task).values())
    token = next(volume for volume in pod()["volumes"] if volume["name"] == "token")
    assert token["secret"] == {"secretName": "offload-k7m2q9x-0", "defaultMode": 0o440}


def test_without_a_group_of_volumes_the_runner_can_still_read_its_token():
    token = next(
        volume for volume in pod("security.fs_group = false")["volumes"] if volume["name"] == "token"
    )
    assert token["secret"]["defaultMode"] == 0o444


def test_the_runner_is_a_native_sidecar_that_knows_its_pod_and_where_to_dial():
    _, runner = containers(pod())
    assert runner["restartPolicy"] == "Always"
    env = env_of(runner)
    assert env["OFFLOAD_LAUNCHER"] == pool().launcher
    assert "OFFLOAD_CERTIFICATE_FILE" not in env
    assert env["OFFLOAD_TOKEN_FILE"].startswith(
        f"{next(k for k, v in mounts_of(runner).items() if v == 'token')}/"
    )
    assert (env["OFFLOAD_AGENT"], env["OFFLOAD_FILES"]) == ("/offload", "/home/anna/fit")
    assert "$${POD_NAME#offload-}" in runner["command"][-1]


def test_a_launcher_with_a_certificate_of_its_own_is_known_by_it():
    certificate = "-----BEGIN CERTIFICATE-----"
    secret = build_secret(pool(certificate=certificate), settings(), launcher="abcdef2345")
    assert base64.b64decode(secret["data"]["certificate"]).decode() == certificate
    _, runner = containers(pod(certificate=certificate))
    assert env_of(runner)["OFFLOAD_CERTIFICATE_FILE"] == "/var/run/offload/certificate"


def test_the_agent_comes_as_an_argument_that_kubernetes_leaves_alone():
    task, _ = containers(pod())
    assert task["command"][:2] == ["/bin/sh", "-c"]
    assert task["command"][2].replace("$$", "$") == agent_text()
    assert literal("$$ $(HOME) $x") == "$$$$ $$(HOME) $$x"


def test_memory_is_request_and_limit_and_cpus_are_a_request():
    task, runner = containers(pod())
    assert task["resources"]["requests"]["memory"] == task["resources"]["limits"]["memory"] == str(8 << 30)
    assert task["resources"]["requests"]["cpu"] == "2500m"
    assert "cpu" not in task["resources"]["limits"]
    assert runner["resources"]["requests"]["memory"] == runner["resources"]["limits"]["memory"]


def test_a_pool_of_a_larger_size_has_objects_of_its_own_with_its_memory():
    made = job(id=PoolId("k7m2q9x-1"), resources=Resources(cpus=2.5, memory=12 << 30), generation=0)
    assert made["metadata"]["name"] == "offload-k7m2q9x-1-0"
    assert made["metadata"]["labels"]["offload.dev/pool"] == "k7m2q9x-1"
    assert made["metadata"]["labels"]["offload.dev/job"] == "k7m2q9x"
    spec = made["spec"]["template"]["spec"]
    task, _ = containers(spec)
    assert task["resources"]["requests"]["memory"] == task["resources"]["limits"]["memory"] == str(12 << 30)
    (shm,) = (volume for volume in spec["volumes"] if volume["name"] == "shm")
    assert shm["emptyDir"]["sizeLimit"] == str(12 << 30)


@pytest.mark.parametrize(
    ("text", "limited"),
    [
        ("", False),
        ("cpu_limit = true", True),
        ("profiles.p.cpu_limit = true", True),
        ("cpu_limit = true\nprofiles.p.cpu_limit = false", False),
    ],
)
def test_cpus_are_a_limit_where_the_profile_or_else_the_cluster_says_so(text, limited):
    profile = "p" if "profiles" in text else None
    for container in containers(pod(text, profile=profile)):
        assert ("cpu" in container["resources"]["limits"]) is limited


def test_every_container_has_a_limit_of_ephemeral_storage():
    task, runner = containers(pod())
    assert task["resources"]["limits"]["ephemeral-storage"] == str(10 << 30)
    assert task["resources"]["requests"]["ephemeral-storage"] == str(1 << 30)
    assert runner["resources"]["limits"]["ephemeral-storage"]


@pytest.mark.parametrize(
    "text", ["default.ephemeral_storage = '50Gi'\nprofiles.p = {}", "profiles.p.ephemeral_storage = '50Gi'"]
)
def test_ephemeral_storage_that_is_said_is_requested(text):
    task, _ = containers(pod(text, profile="p"))
    for kind in ("limits", "requests"):
        assert task["resources"][kind]["ephemeral-storage"] == str(50 << 30)


def test_gpus_are_what_the_profile_calls_them_and_their_taint_is_tolerated():
    text = "profiles.amd.gpu_resource = 'amd.com/gpu'"
    for profile, name in ((None, "nvidia.com/gpu"), ("amd", "amd.com/gpu")):
        spec = pod(text, profile=profile, resources=Resources(cpus=1, memory=1 << 30, gpus=2))
        assert spec["containers"][0]["resources"]["limits"][name] == "2"
        assert spec["tolerations"] == [{"key": name, "operator": "Exists", "effect": "NoSchedule"}]
    assert "tolerations" not in pod()


def test_a_job_that_was_admitted_without_a_backend_gets_the_defaults():
    task, _ = containers(pod(resources=Resources(), image=None))
    assert task["resources"]["limits"]["memory"] == str(2 << 30)
    assert task["image"] == settings().any_image


def test_the_pod_is_what_the_restricted_standard_asks_for():
    spec = pod()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in containers(spec):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(not {"hostPath", "nfs"} & set(volume) for volume in spec["volumes"])


def test_the_user_can_be_left_to_the_cluster():
    context = pod("security = { run_as_user = false, run_as_group = false, fs_group = false }")[
        "securityContext"
    ]
    assert set(context) == {"runAsNonRoot", "seccompProfile"}


def test_the_runner_has_a_read_only_root_and_the_task_where_it_is_said():
    for text, expected in (("", [False, True]), ("security.read_only_root = true", [True, True])):
        found = [one["securityContext"]["readOnlyRootFilesystem"] for one in containers(pod(text))]
        assert found == expected


def test_home_and_temporary_files_are_on_volumes():
    task, runner = containers(pod())
    assert env_of(task)["HOME"] == "/offload/home"
    assert {"/offload", "/tmp", "/dev/shm", "/home/anna/fit"} == set(mounts_of(task))
    assert env_of(runner)["TMPDIR"] in mounts_of(runner)
    assert (env_of(task)["USER"], env_of(task)["LOGNAME"]) == ("anna", "anna")


def test_there_is_time_for_results_to_go_home():
    assert pod()["terminationGracePeriodSeconds"] == 71


@pytest.mark.parametrize(
    "home",
    [
        "/home/anna/fit",
        "/Users/anna/fit",
        "/srv/x",
        "/data",
        "/mnt/x",
        "/tmp/x/y",
        "/opt/lab/x",
        "/var/data/x",
        "/home/änna/a b",
    ],
)
def test_the_working_directory_lies_where_it_lies_at_home(home):
    for container in containers(pod(home=home)):
        assert mounts_of(container)[home] == "files"


@pytest.mark.parametrize(
    "home",
    [
        *(
            "/",
            "/home",
            "/usr",
            "/usr/local/x",
            "/etc/x",
            "/var",
            "/var/lib/x",
            "/var/run/x",
            "/root",
            "/root/x",
        ),
        *(
            "/tmp",
            "/dev/shm/x",
            "/proc",
            "/opt",
            "/opt/offload/x",
            "/offload",
            "/offload/x",
            "/offload-files",
        ),
        *(
            "relative",
            "",
            "/a:b",
            "/a/../b",
            "/a/",
            "//a",
            "/a//b",
            "/a\nb",
            "/a\x00b",
            "/a\udcffb",
            "/a�b",
            "/" + "a" * 2000,
        ),
    ],
)
def test_the_working_directory_never_hides_a_part_of_the_system(home):
    assert files_place(home) == FILES
    for container in containers(pod(home=home)):
        assert mounts_of(container)[FILES] == "files"


def test_variables_with_a_place_are_as_they_are():
    _, runner = containers(pod(home="/data/$(HOME)/$$"))
    assert env_of(runner)["OFFLOAD_FILES"] == "/data/$$(HOME)/$$$$"
    assert mounts_of(runner)["/data/$(HOME)/$$"] == "files"


MOUNTS = """
[mounts.data]
nfs = { server = "nfs", path = "/export/{user}" }
path = "/people/{user}"
[mounts.lab]
claim = "lab"
sub_path = "shared/{user}"
read_only = true
[mounts.archive]
claim = "lab"
sub_path = "archive"
[mounts.scratch]
host_path = "/scratch"
"""


def test_mounts_are_in_the_task_with_the_users_name_in_their_paths():
    spec = pod(MOUNTS, mounts=("data", "lab:/lab", "scratch"))
    task, runner = containers(spec)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert mounts_of(task)["/people/anna"] == "mount-data"
    assert volumes["mount-data"]["nfs"] == {"server": "nfs", "path": "/export/anna"}
    lab = next(mount for mount in task["volumeMounts"] if mount["mountPath"] == "/lab")
    assert lab == {"name": "mount-lab", "mountPath": "/lab", "readOnly": True, "subPath": "shared/anna"}
    assert volumes["mount-scratch"]["hostPath"] == {"path": "/scratch"}
    assert not any(name.startswith("mount-") for name in mounts_of(runner).values())


def test_two_mounts_of_one_claim_share_a_volume():
    spec = pod(MOUNTS, mounts=("lab", "archive"))
    assert [volume["name"] for volume in spec["volumes"] if volume["name"].startswith("mount-")] == [
        "mount-lab"
    ]
    assert mounts_of(spec["containers"][0])["/mnt/archive"] == "mount-lab"


@pytest.mark.parametrize(
    ("mount", "home", "place"),
    [
        ("lab:/home/anna", "/home/anna/fit", FILES),
        ("lab:/home/anna/fit", "/home/anna/fit", FILES),
        ("lab:/home/anna/fit/data", "/home/anna/fit", "/home/anna/fit"),
        ("lab:/home/an", "/home/anna/fit", "/home/anna/fit"),
    ],
)
def test_files_never_lie_in_a_mount(mount, home, place):
    assert mounts_of(containers(pod(MOUNTS, mounts=(mount,), home=home))[0])[place] == "files"


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr/local", "/offload/x", "/tmp", "/dev/shm", "/var", "/proc/1"]
)
def test_a_mount_never_hides_a_part_of_the_system(path):
    assert mount_refusal(path)


def test_a_profile_or_mount_that_is_gone_is_told():
    for gone in ({"profile": "p"}, {"mounts": ("data",)}):
        with pytest.raises(UsageError, match="There is no"):
            job(**gone)


def test_a_queue_lets_the_job_start_suspended():
    text = "queue = 'small'\nprofiles.gpu.queue = 'gpu'"
    for asked, queue in (({}, "small"), ({"profile": "gpu"}, "gpu"), ({"queue": "night"}, "night")):
        made = job(text, **asked)
        assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == queue
        assert made["spec"]["suspend"] is True
    assert "suspend" not in job()["spec"]


def test_profiles_say_on_which_nodes_a_runner_may_be():
    spec = pod(
        """
        service_account = "analysts"
        image_pull_secrets = ["registry"]
        image_pull_policy = "Always"
        [profiles.p]
        node_selector = { pool = "big" }
        tolerations = [{ key = "big", operator = "Exists" }]
        affinity = { nodeAffinity = {} }
        priority_class = "high"
        runtime_class = "gvisor"
        """,
        profile="p",
    )
    assert spec["nodeSelector"] == {"pool": "big"}
    assert spec["tolerations"] == [{"key": "big", "operator": "Exists"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
    assert spec["serviceAccountName"] == "analysts"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert [one["imagePullPolicy"] for one in containers(spec)] == ["Always", "Always"]


def test_secrets_of_the_namespace_are_variables_of_the_task_alone():
    task, runner = containers(pod("secrets.DB = { secret = 'database', key = 'password' }"))
    found = next(one for one in task["env"] if one["name"] == "DB")
    assert found["valueFrom"] == {"secretKeyRef": {"name": "database", "key": "password"}}
    assert "DB" not in env_of(runner)


def test_tidying_up_nodes_does_not_end_a_task():
    annotations = job()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"


def test_the_patch_has_the_last_word():
    made = job(
        """
        [pod.metadata.annotations]
        "karpenter.sh/do-not-disrupt" = "false"
        [pod.spec]
        enableServiceLinks = true
        [pod.spec.securityContext]
        runAsUser = 7
        [[pod.spec.containers]]
        name = "task"
        env = [{ name = "HOME", value = "/elsewhere" }]
        [pod.spec.containers.resources.limits]
        memory = "1Gi"
        [[pod.spec.volumes]]
        name = "shm"
        "$patch" = "delete"
        """
    )["spec"]["template"]
    task, _ = containers(made["spec"])
    assert made["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "false"
    assert made["metadata"]["labels"]["offload.dev/pool"] == "k7m2q9x-0"
    assert made["spec"]["securityContext"]["runAsUser"] == 7
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert env_of(task)["HOME"] == "/elsewhere"
    assert env_of(task)["USER"] == "anna"
    assert task["resources"]["limits"]["memory"] == "1Gi"
    assert "shm" not in [volume["name"] for volume in made["spec"]["volumes"]]


def test_the_same_pool_makes_the_same_objects():
    assert job(MOUNTS, mounts=("lab",)) == job(MOUNTS, mounts=("lab",))
