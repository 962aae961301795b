"""``offload clusters``: a place is added, looked at, checked and removed, as a person does it."""

from __future__ import annotations

import json
import tomllib

import pytest

from offload.wire.api import ClusterView
from offload.wire.codec import convert, decode


def table(shell) -> dict:
    return tomllib.loads((shell.home / "config.toml").read_text())["clusters"]


def test_a_cluster_is_added_used_shown_and_removed_without_a_restart(shell):
    shell.text("launcher", "start")
    pid = json.loads(shell.text("launcher", "status", "--json"))["pid"]
    said = shell.text(
        "clusters", "add", "small", "--backend", "local", "--set", "cpus=1", "--set", 'memory="1Gi"'
    )
    assert said == "small is configured.\nSee whether all of it works: offload clusters check small\n"
    assert table(shell) == {"small": {"backend": "local", "cpus": 1, "memory": "1Gi"}}
    assert shell.text("clusters", "small").startswith(
        "small  local  available\n  fits  1 CPU, 1 GiB memory\n"
    )
    assert [
        one.name for one in convert(json.loads(shell.text("clusters", "--json")), tuple[ClusterView, ...])
    ] == [
        "local",
        "small",
    ]
    shown = shell.text("run", "--on", "small", "--show", "--", "true")
    assert "on          small" in shown
    assert shell.text("clusters", "remove", "small") == "small is removed.\n"
    assert "clusters" not in tomllib.loads((shell.home / "config.toml").read_text())
    assert shell.offload("run", "--on", "small", "--show", "--", "true").returncode == 2
    assert json.loads(shell.text("launcher", "status", "--json"))["pid"] == pid


def test_an_added_cluster_is_there_after_a_restart(shell):
    shell.text("clusters", "add", "small", "--backend", "local")
    shell.text("launcher", "stop")
    assert decode(shell.text("clusters", "show", "small", "--json"), ClusterView).available


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "cpus=many"), "--set 'cpus=many' isn't of the form KEY=VALUE"),
        (("--set", "a=1", "--set", "a=2"), "a is set twice"),
        (("--set", "cpuz=1"), "cpuz: there is no setting 'cpuz'"),
        (("--set", "cpus=0", "--set", 'memory="lots"'), "'lots' is not an amount of memory"),
    ],
)
def test_mistakes_in_settings_are_told_and_nothing_is_kept(shell, words, sentence):
    done = shell.offload("clusters", "add", "small", "--backend", "local", *words)
    assert (done.returncode, sentence in done.stderr.decode()) == (2, True), done.stderr
    assert not (shell.home / "config.toml").exists()


def test_an_unknown_backend_lists_the_installed_ones(shell):
    done = shell.offload("clusters", "add", "far", "--backend", "slrum")
    assert done.returncode == 2
    assert "Installed are: kubernetes, local" in done.stderr.decode()


def test_a_kubeconfig_is_found_from_here_and_must_be_there(shell):
    done = shell.offload("clusters", "add", "eks", "--kubeconfig", "nothing.yaml")
    assert f"There is no kubeconfig {shell.here}/nothing.yaml" in done.stderr.decode()
    environ = {**shell.environ, "KUBECONFIG": "one:two"}
    done = shell.offload("clusters", "add", "eks", env=environ)
    assert "KUBECONFIG names several files" in done.stderr.decode()


def test_a_cluster_of_the_same_name_is_replaced_only_when_asked(shell):
    shell.text("clusters", "add", "small", "--backend", "local", "--set", "cpus=1")
    done = shell.offload("clusters", "add", "small", "--backend", "local", "--set", "cpus=2")
    assert (done.returncode, b"--replace" in done.stderr) == (2, True)
    shell.text("clusters", "add", "small", "--backend", "local", "--set", "cpus=2", "--replace")
    assert table(shell)["small"]["cpus"] == 2


def test_a_check_of_this_machine_finds_nothing_wrong(shell):
    said = shell.text("clusters", "check", "local")
    assert said.splitlines()[0].startswith("ok ")
    assert said.splitlines()[-1].startswith("local: ")
    assert said.splitlines()[-1].endswith("all is fine.")
    assert json.loads(shell.text("clusters", "check", "local", "--json"))["findings"]
    done = shell.offload("clusters", "check", "local", "--yaml")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"nothing has to be asked for" in done.stderr


def test_an_unknown_cluster_lists_the_right_ones_everywhere(shell):
    for words in (("show", "eks"), ("eks",), ("check", "eks"), ("remove", "eks")):
        done = shell.offload("clusters", *words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"The clusters are: local." in done.stderr


def test_what_the_cluster_refuses_is_told_by_show(shell):
    done = shell.offload("run", "--show", "--image", "rocker/r-ver:4.4", "--mount", "data", "--", "true")
    assert done.returncode == 2
    assert b"The cluster local has no images and no mounts." in done.stderr
    done = shell.offload("run", "--show", "--cpus", "5000", "--", "true")
    assert b"more than the cluster local could ever give" in done.stderr


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 5000])
@pytest.mark.parametrize("words", [("show",), ("check",), ("remove",), ("add", "--backend", "local")])
def test_what_can_be_no_cluster_is_none(shell, words, name):
    done = shell.offload("clusters", words[0], name, *words[1:])
    assert done.returncode == 2
    assert repr(name[:20])[:-1] in done.stderr.decode()
