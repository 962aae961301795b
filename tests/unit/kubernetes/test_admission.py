"""What a cluster's settings make of a request."""

from __future__ import annotations

import tomllib

import pytest

from offload.backends.kubernetes.admission import admit, capabilities
from offload.backends.kubernetes.images import is_allowed, language_of
from offload.backends.kubernetes.settings import read_settings
from offload.errors import TooLargeForClusterError, UsageError
from offload.model.resources import Resources
from offload.model.spec import Spec

ALL = ("cpus", "memory", "gpus")
SETTINGS = read_settings(
    tomllib.loads(
        """
        images = { R = "rocker/tidyverse:4.4", default = "registry.example.com/base:1" }
        allowed_images = ["rocker/*", "ghcr.io/lab/*"]
        default = { cpus = 2, memory = "4Gi" }
        maximum = { cpus = 16, memory = "64Gi", gpus = 1 }
        queue = "small"
        queues = ["night"]
        [profiles.gpu]
        cpus = 8
        gpus = 1
        queue = "gpu"
        [profiles.huge]
        memory = "512Gi"
        maximum = { memory = "1Ti" }
        [mounts.data]
        claim = "data"
        [mounts.home]
        claim = "homes"
        sub_path = "{user}"
        path = "/people/{user}"
        [mounts.secret]
        claim = "data"
        users = ["ben"]
        """
    ),
    "eks",
)


def spec(*, command=("Rscript", "fit.R"), left_open=ALL, resources=None, **more):
    return Spec(
        command=command,
        name="fit",
        cluster="eks",
        snapshot="sha256:0",
        home="file://laptop/home/anna/fit",
        resources=resources or Resources(),
        left_open=left_open,
        **more,
    )


def refused(**asked) -> UsageError:
    with pytest.raises(UsageError) as caught:
        admit(SETTINGS, spec(**asked), asked.pop("user", "anna"))
    return caught.value


def test_what_nobody_asks_for_is_the_clusters_default():
    admitted = admit(SETTINGS, spec(), "anna")
    assert admitted.resources == Resources(cpus=2, memory=4 << 30, gpus=0)
    assert (admitted.image, admitted.queue, admitted.left_open) == ("rocker/tidyverse:4.4", "small", ())


def test_a_profile_fills_in_what_a_job_leaves_open_and_nothing_else():
    asked = Resources(cpus=3, memory=None)
    admitted = admit(SETTINGS, spec(profile="gpu", resources=asked, left_open=("memory", "gpus")), "anna")
    assert admitted.resources == Resources(cpus=3, memory=4 << 30, gpus=1)
    assert admitted.queue == "gpu"


@pytest.mark.parametrize(("profile", "limit"), [(None, 64 << 30), ("gpu", 64 << 30), ("huge", 1 << 40)])
def test_memory_may_grow_as_far_as_the_profile_or_else_the_cluster_lets_it(profile, limit):
    assert admit(SETTINGS, spec(profile=profile), "anna").memory_limit == limit


def test_what_is_admitted_is_admitted_again_as_it_is():
    once = admit(SETTINGS, spec(profile="gpu", mounts=("data", "home:/here")), "anna")
    assert admit(SETTINGS, once, "anna") == once


@pytest.mark.parametrize(
    ("command", "language"),
    [
        (("Rscript", "a.R"), "R"),
        (("/usr/local/bin/Rscript", "a.R"), "R"),
        (("python3", "a.py"), "python"),
        (("python3.12", "a.py"), "python"),
        (("julia", "a.jl"), "julia"),
        (("bash", "a.sh"), "shell"),
        (("./a.out",), "default"),
    ],
)
def test_the_image_is_that_of_the_commands_language(command, language):
    assert language_of(command) == language


def test_a_language_without_an_image_gets_the_default_one():
    assert admit(SETTINGS, spec(command=("julia", "a.jl")), "anna").image == "registry.example.com/base:1"


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("rocker/r-ver:4.4", True),
        ("docker.io/rocker/r-ver:4.4", True),
        ("index.docker.io/rocker/r-ver:4.4", True),
        ("registry.example.com/base:1", True),
        ("registry.example.com/base:2", False),
        ("evil.example.com/rocker/r-ver:4.4", False),
        ("rocker", False),
        ("ghcr.io/lab/tools@sha256:" + "0" * 64, True),
        ("python:3.13", False),
    ],
)
def test_an_image_is_allowed_however_it_is_written_and_no_other_is(image, allowed):
    assert is_allowed(image, SETTINGS.images.values(), SETTINGS.allowed_images) is allowed


def test_a_pattern_for_everything_allows_everything_and_an_empty_list_nothing():
    assert is_allowed("anything.example.com/x", (), ("*",))
    assert is_allowed("python:3.13", (), ("python:*",))
    assert not is_allowed("python:3.13", (), ())


def test_all_that_is_wrong_is_told_at_once_with_the_right_names():
    error = refused(
        profile="cpu",
        image="evil.example.com/x",
        queue="fast",
        mounts=("dta", "secret", "data:here", "data:/usr/bin"),
        resources=Resources(cpus=99),
        left_open=(),
    )
    for part in (
        "There is no profile 'cpu'.",
        "The image evil.example.com/x isn't allowed on eks.",
        "There is no queue 'fast'.",
        "There is no mount 'dta'.",
        "The mount secret isn't for anna.",
        "--mount data:here: 'here' isn't an absolute path",
        "The mount data can't be there: /usr/bin",
        "99 CPUs (at most 16)",
    ):
        assert part in error.sentence, part
    for part in ("gpu, huge", "rocker/*", "gpu, night, small", "data, home."):
        assert part in error.next_step


def test_a_mount_of_others_is_not_even_named():
    assert "secret" not in refused(mounts=("nope",)).next_step


def test_a_request_above_the_maximum_is_too_large_unless_its_profile_may():
    memory = Resources(memory=128 << 30)
    assert isinstance(refused(resources=memory, left_open=("cpus",)), TooLargeForClusterError)
    assert admit(SETTINGS, spec(resources=memory, left_open=("cpus",), profile="huge"), "anna").resources == (
        Resources(cpus=2, memory=128 << 30)
    )


def test_two_mounts_at_one_path_are_refused():
    assert "can't both be at /mnt/data" in refused(mounts=("data", "home:/mnt/data")).sentence


@pytest.mark.parametrize("user", ["..", ".", "a/b", "", "a b", "-x", "ä", "a\n", "{user}"])
def test_a_user_name_that_could_lead_out_of_its_directory_is_refused(user):
    with pytest.raises(UsageError, match="can't be a part of a path"):
        admit(SETTINGS, spec(mounts=("home",)), user)
    assert admit(SETTINGS, spec(mounts=("data",)), user).mounts == ("data",)


def test_an_image_that_is_no_image_is_told():
    assert "isn't the name of a container image" in refused(image="Not An Image").sentence


def test_a_cluster_without_profiles_mounts_and_queues_says_so():
    with pytest.raises(UsageError) as caught:
        admit(read_settings({}, "x"), spec(profile="a", mounts=("b",), queue="c"), "anna")
    for option in ("--profile", "--mount b", "--queue"):
        assert f"Leave out {option}" in caught.value.next_step


def test_capabilities_tell_people_what_they_can_choose():
    can = capabilities(SETTINGS)
    assert can.profiles["gpu"] == "8 CPUs, 1 GPU; queue gpu"
    assert can.mounts["home"] == "volume homes/{user} at /people/{user}"
    assert can.images["R"] == "rocker/tidyverse:4.4"
    assert can.images["others"] == "rocker/*, ghcr.io/lab/*"
    assert can.default == Resources(cpus=2, memory=4 << 30)
