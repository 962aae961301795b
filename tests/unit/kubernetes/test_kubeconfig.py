from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from offload.backends.kubernetes.access import User
from offload.backends.kubernetes.kubeconfig import in_cluster, read_access
from offload.errors import SettingsError


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def config(
    *, current: str = "work", cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "current-context": current,
        "contexts": [
            {"name": "work", "context": {"cluster": "c", "user": "u", "namespace": "analytics"}},
            {"name": "play", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": cluster or {"server": "https://kube.test:6443"}}],
        "users": [{"name": "u", "user": user or {"token": "secret"}}],
    }


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_the_current_context_is_read_from_the_home_directory(tmp_path) -> None:
    write(tmp_path / ".kube/config", config())
    access = read_access(None, None, {"HOME": str(tmp_path)})
    assert (access.name, access.server, access.namespace) == ("work", "https://kube.test:6443", "analytics")
    assert access.user.token == "secret"
    assert "secret" not in repr(access)


def test_a_context_without_a_namespace_means_default(tmp_path) -> None:
    assert read_access(write(tmp_path / "config", config()), "play", {}).namespace == "default"


def test_of_several_files_the_first_that_names_something_wins_and_missing_ones_do_not_matter(
    tmp_path,
) -> None:
    first = write(tmp_path / "first", {"users": [{"name": "u", "user": {"token": "of the first"}}]})
    second = write(tmp_path / "second", config(current="play"))
    third = write(tmp_path / "third", config(cluster={"server": "https://elsewhere"}))
    env = {"KUBECONFIG": f"{first}:{tmp_path}/missing:{second}::{third}"}
    access = read_access(None, None, env)
    assert (access.name, access.user.token, access.server) == (
        "play",
        "of the first",
        "https://kube.test:6443",
    )


def test_paths_are_relative_to_the_file_that_holds_them(tmp_path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/ca.pem").write_bytes(b"ca")
    user = {
        "client-certificate": "me.pem",
        "client-key": "/etc/me.key",
        "tokenFile": "token",
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./bin/aws"},
    }
    cluster = {"server": "https://kube.test", "certificate-authority": "ca.pem"}
    access = read_access(write(tmp_path / "there/config", config(cluster=cluster, user=user)), None, {})
    assert access.ca == b"ca"
    assert access.user.certificate == tmp_path / "there/me.pem"
    assert access.user.key == Path("/etc/me.key")
    assert access.user.token_file == tmp_path / "there/token"
    assert access.user.plugin is not None
    assert access.user.plugin.command == f"{tmp_path}/there/bin/aws"


def test_data_in_the_file_wins_over_a_path(tmp_path) -> None:
    cluster = {
        "server": "https://kube.test/prefix/",
        "certificate-authority": "/missing",
        "certificate-authority-data": encoded(b"ca"),
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy:3128",
    }
    user = {"client-certificate-data": encoded(b"pem"), "client-key-data": encoded(b"key")}
    access = read_access(write(tmp_path / "config", config(cluster=cluster, user=user)), None, {})
    assert (access.ca, access.user.certificate, access.user.key) == (b"ca", b"pem", b"key")
    assert access.server == "https://kube.test/prefix"
    assert (access.tls_server_name, access.proxy_url) == ("kubernetes", "http://proxy:3128")


def test_a_plug_in_is_read_with_all_that_it_needs(tmp_path) -> None:
    cluster = {
        "server": "https://kube.test",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": ["eks", "get-token", "--cluster-name", "lab"],
        "env": [{"name": "AWS_PROFILE", "value": "lab"}],
        "installHint": "Install the AWS CLI.\n",
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,
    }
    access = read_access(write(tmp_path / "c", config(cluster=cluster, user={"exec": plugin})), None, {})
    read = access.user.plugin
    assert read is not None
    assert (read.command, read.arguments) == ("aws", ("eks", "get-token", "--cluster-name", "lab"))
    assert read.environment == (("AWS_PROFILE", "lab"),)
    assert (read.install_hint, read.told_cluster) == ("Install the AWS CLI.", True)
    assert read.cluster_config == {"audience": "x"}


def test_acting_as_somebody_else_becomes_headers(tmp_path) -> None:
    user = {"token": "t", "as": "ann", "as-groups": ["a", "b"], "as-user-extra": {"why": ["test"]}}
    access = read_access(write(tmp_path / "config", config(user=user)), None, {})
    assert access.user.acts_as == (
        ("Impersonate-User", "ann"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-why", "test"),
    )


def test_an_unknown_context_lists_those_there_are(tmp_path) -> None:
    path = write(tmp_path / "config", config())
    with pytest.raises(SettingsError) as caught:
        read_access(path, "wrok", {})
    assert str(path) in caught.value.sentence
    assert caught.value.next_step == "Did you mean work? The contexts there are: play, work."
    assert caught.value.details == {"valid": ["play", "work"]}


def test_a_file_without_a_current_context_asks_for_a_name(tmp_path) -> None:
    with pytest.raises(SettingsError, match="names no current context") as caught:
        read_access(write(tmp_path / "config", config(current="")), None, {})
    assert caught.value.next_step == "The contexts there are: play, work."


def test_a_context_whose_cluster_is_missing_says_so(tmp_path) -> None:
    content = config() | {"clusters": [{"name": "other", "cluster": {}}]}
    with pytest.raises(SettingsError, match="has no cluster c") as caught:
        read_access(write(tmp_path / "config", content), None, {})
    assert "other" in caught.value.next_step


def test_without_any_kubeconfig_the_places_are_named(tmp_path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_access(None, None, {"HOME": str(tmp_path), "KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"})
    assert f"{tmp_path}/a or {tmp_path}/b" in caught.value.sentence


def test_a_kubeconfig_that_was_named_must_be_there(tmp_path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        read_access(tmp_path / "missing", None, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("just words", "not a kubeconfig"),
        ("users: [{name: u, user: {exec: aws}}]", r"at `\$.users\[0\].user.exec`"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_told(tmp_path, text: str, says: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_access(tmp_path / "config", None, {})


def test_all_that_cannot_work_is_told_at_once(tmp_path) -> None:
    cluster = {"server": "kube.test", "proxy-url": "socks5://p", "certificate-authority": "/missing/ca.pem"}
    user = {
        "username": "ann",
        "password": "secret",
        "auth-provider": {"name": "gcp"},
        "client-certificate-data": "###",
        "client-key-data": encoded(b"key"),
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1alpha1",
            "command": "aws",
            "interactiveMode": "Always",
        },
    }
    with pytest.raises(SettingsError) as caught:
        read_access(write(tmp_path / "config", config(cluster=cluster, user=user)), None, {})
    for part in (
        "its server 'kube.test' is not an address",
        "its proxy socks5://p",
        "its certificate-authority /missing/ca.pem can't be read",
        "signs in with a password",
        "built-in provider gcp",
        "client-certificate-data is not base64",
        "a key without its certificate",
        "speaks client.authentication.k8s.io/v1alpha1",
        "a launcher has no terminal",
    ):
        assert part in caught.value.sentence
    assert "secret" not in caught.value.sentence


@pytest.fixture
def account(tmp_path) -> Path:
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("analytics\n")
    (tmp_path / "ca.crt").write_text("ca")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_account_of_our_own_pod_is_used_in_a_cluster(account, host: str, server: str) -> None:
    access = in_cluster(account, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert (access.server, access.namespace, access.ca) == (server, "analytics", b"ca")
    assert access.user.token_file == account / "token"


def test_what_is_null_is_not_there(tmp_path) -> None:
    content = config(cluster={"server": "https://kube.test", "proxy-url": None}) | {"preferences": None}
    content["users"] = None
    content["contexts"][0]["context"]["user"] = None
    access = read_access(write(tmp_path / "config", content), None, {})
    assert (access.proxy_url, access.user) == (None, User())


def test_a_pod_whose_account_lacks_a_file_is_told(account) -> None:
    (account / "ca.crt").unlink()
    with pytest.raises(SettingsError, match=r"ca\.crt can't be read"):
        in_cluster(account, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_the_variables_that_every_container_has_are_looked_at(
    account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.2")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert in_cluster(account).server == "https://10.0.0.2:6443"


@pytest.mark.parametrize("env", [{}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_elsewhere_there_is_no_such_account(tmp_path, env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="doesn't run in a pod with a service account"):
        in_cluster(tmp_path, env)
