"""From the file that kubectl uses, or from the account of our own pod, to an :class:`Access`.

The file is read as kubectl reads it, because people bring one that works: several files in ``KUBECONFIG`` are
merged (the first that names something wins), paths are relative to the file that holds them, data inside the
file wins over a path. What can't work for a launcher, such as a password or a plug-in that asks questions, is
refused here with its reason, all of it at once, instead of failing later with a 401.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from offload.backends.kubernetes.access import Access, Plugin, User
from offload.backends.kubernetes.kubeconfig_file import ClusterEntry, ExecEntry, UserEntry, load, merged
from offload.errors import SettingsError

__all__ = ["in_cluster", "read_access"]

PLUGIN_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_EXTENSION: Final = "client.authentication.k8s.io/exec"
_RENEW: Final = "Write the kubeconfig anew with your provider's command, such as `aws eks update-kubeconfig`."


def read_access(kubeconfig: Path | None, context: str | None, env: Mapping[str, str]) -> Access:
    """What a kubeconfig says about one context.

    Args:
        kubeconfig: the file; None for those that ``KUBECONFIG`` names, or ``~/.kube/config``.
        context: its name; None for the current one.
        env: ``KUBECONFIG`` and ``HOME`` are looked at.

    Raises:
        SettingsError: no file, no such context, or something in it can't work; all of it is told.
    """
    paths = [kubeconfig.expanduser()] if kubeconfig else _paths(env)
    there = [path for path in paths if kubeconfig or path.exists()]
    where = f"The kubeconfig {' and '.join(map(str, there))}"
    if not there:
        raise SettingsError(
            f"There is no kubeconfig at {' or '.join(map(str, paths))}.",
            next_step="Get one from the cluster's administrator or provider; `kubectl get pods` has to work.",
        )
    whole = merged(load(path) for path in there)
    name = context or whole.current
    chosen = whole.contexts.get(name) or _missing(where, "context", name, whole.contexts)
    cluster, cluster_home = whole.clusters.get(chosen.cluster) or _missing(
        where, "cluster", chosen.cluster, whole.clusters
    )
    user, user_home = (UserEntry(), Path())
    if chosen.user:
        user, user_home = whole.users.get(chosen.user) or _missing(where, "user", chosen.user, whole.users)
    problems = _Problems()
    access = Access(
        name=name,
        namespace=chosen.namespace or "default",
        user=_user(user, user_home, _config_for_plugins(cluster), problems),
        **_cluster(cluster, cluster_home, problems),
    )
    problems.complain(f"{where} can't be used with its context {name}", _RENEW)
    return access


def in_cluster(directory: Path = SERVICE_ACCOUNT, env: Mapping[str, str] | None = None) -> Access:
    """The service account of the pod that we run in.

    Args:
        directory: where the kubelet puts the account's token, and renews it.
        env: with ``KUBERNETES_SERVICE_HOST`` and ``KUBERNETES_SERVICE_PORT``; our own by default.

    Raises:
        SettingsError: this isn't a pod, or the pod has no account.
    """
    env = os.environ if env is None else env
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (directory / "token").exists():
        raise SettingsError(
            "The launcher doesn't run in a pod with a service account.",
            next_step="Name a context of a kubeconfig instead, or set `automountServiceAccountToken: true`.",
        )
    problems = _Problems()
    ca, namespace = (_content(directory / name, "file", problems) for name in ("ca.crt", "namespace"))
    problems.complain("The account of the launcher's pod can't be used", "See how the pod is made.")
    return Access(
        name="in-cluster",
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=(namespace or b"").decode().strip(),
        ca=ca,
        user=User(token_file=directory / "token"),
    )


class _Problems(list[str]):
    """What is wrong, gathered while reading."""

    def complain(self, prefix: str, next_step: str) -> None:
        if self:
            raise SettingsError(f"{prefix}: {'; '.join(self)}.", next_step=next_step)


def _paths(env: Mapping[str, str]) -> list[Path]:
    listed = [Path(part) for part in env.get("KUBECONFIG", "").split(":") if part]
    return listed or [Path(env.get("HOME", "~")).expanduser() / ".kube/config"]


def _missing(where: str, kind: str, name: str, there: Iterable[str]) -> NoReturn:
    near = difflib.get_close_matches(name, there, n=1)
    valid = sorted(there)
    raise SettingsError(
        f"{where} {f'has no {kind} {name}' if name else f'names no current {kind}'}.",
        next_step=(f"Did you mean {near[0]}? " if near else "")
        + f"The {kind}s there are: {', '.join(valid) or 'none'}.",
        details={"valid": valid},
    )


def _cluster(entry: ClusterEntry, home: Path, problems: _Problems) -> dict[str, Any]:
    if not entry.server.startswith(("https://", "http://")):
        problems.append(f"its server {entry.server!r} is not an address with https://")
    if entry.proxy_url and not entry.proxy_url.startswith(("https://", "http://")):
        problems.append(
            f"its proxy {entry.proxy_url} is neither http:// nor https://, and no other is supported"
        )
    key = "certificate-authority"
    ca = _pem(key, entry.certificate_authority_data, entry.certificate_authority, home, problems)
    return {
        "server": entry.server.rstrip("/"),
        "ca": _content(ca, key, problems),
        "insecure": entry.insecure_skip_tls_verify,
        "tls_server_name": entry.tls_server_name or None,
        "proxy_url": entry.proxy_url or None,
    }


def _user(entry: UserEntry, home: Path, cluster_config: Any, problems: _Problems) -> User:
    if entry.username or entry.password:
        problems.append("it signs in with a password, which Kubernetes no longer knows")
    if entry.auth_provider:
        problems.append(
            f"it signs in with the built-in provider {entry.auth_provider.name}, which Kubernetes no longer "
            "has: a plug-in has taken its place"
        )
    certificate = _pem(
        "client-certificate", entry.client_certificate_data, entry.client_certificate, home, problems
    )
    key = _pem("client-key", entry.client_key_data, entry.client_key, home, problems)
    if (certificate is None) != (key is None):
        problems.append("it has a client certificate without its key, or a key without its certificate")
    return User(
        certificate=certificate,
        key=key,
        token=entry.token or None,
        token_file=home / entry.token_file if entry.token_file else None,
        plugin=_plugin(entry.exec, home, cluster_config, problems) if entry.exec else None,
        acts_as=tuple(_acts_as(entry)),
    )


def _plugin(entry: ExecEntry, home: Path, cluster_config: Any, problems: _Problems) -> Plugin:
    if entry.api_version not in PLUGIN_VERSIONS:
        versions = " or ".join(PLUGIN_VERSIONS)
        problems.append(
            f"its plug-in {entry.command} speaks {entry.api_version or 'nothing'}, not {versions}"
        )
    if entry.interactive_mode == "Always":
        problems.append(f"its plug-in {entry.command} wants to ask questions, but a launcher has no terminal")
    return Plugin(
        command=str(home / entry.command) if "/" in entry.command else entry.command,
        arguments=tuple(entry.args),
        environment=tuple((each.name, each.value) for each in entry.env),
        api_version=entry.api_version,
        install_hint=entry.install_hint.strip(),
        told_cluster=entry.provide_cluster_info,
        cluster_config=cluster_config,
    )


def _acts_as(entry: UserEntry) -> Iterator[tuple[str, str]]:
    if entry.acts_as:
        yield "Impersonate-User", entry.acts_as
    if entry.as_uid:
        yield "Impersonate-Uid", entry.as_uid
    for group in entry.as_groups:
        yield "Impersonate-Group", group
    for key, values in entry.as_user_extra.items():
        yield from ((f"Impersonate-Extra-{key}", value) for value in values)


def _config_for_plugins(cluster: ClusterEntry) -> Any:
    return next((each.extension for each in cluster.extensions if each.name == _EXTENSION), None)


def _pem(key: str, data: str, path: str, home: Path, problems: _Problems) -> bytes | Path | None:
    if not data:
        return home / path if path else None
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        problems.append(f"{key}-data is not base64")
        return None


def _content(pem: bytes | Path | None, key: str, problems: _Problems) -> bytes | None:
    if not isinstance(pem, Path):
        return pem
    try:
        return pem.read_bytes()
    except OSError as error:
        problems.append(f"its {key} {pem} can't be read: {error.strerror}")
        return None
