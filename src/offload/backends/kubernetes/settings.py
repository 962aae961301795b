"""The settings of a Kubernetes cluster: a table ``[clusters.NAME]`` of ``config.toml``, or the same as JSON.

Nothing is needed: what isn't said is Kubernetes' own, or a default that works. What isn't understood, or
contradicts something else, stops the launcher: all of it is told, with its lines and the valid keys. What
only the cluster knows (whether a claim, a class or a queue is there) is for ``offload clusters check``.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from offload.backends.kubernetes.callback import GATEWAY
from offload.backends.kubernetes.images import LANGUAGES, OTHERS, STANDARD
from offload.backends.kubernetes.keys import (
    Key,
    MistakesError,
    Path,
    duration,
    flag,
    image,
    json_table,
    label_name,
    label_value,
    list_of,
    object_name,
    or_false,
    read_table,
    short_name,
    table_of,
    text,
    whole,
)
from offload.backends.kubernetes.mounts import Mount, read_mount
from offload.backends.kubernetes.patch import check_patch
from offload.backends.kubernetes.profiles import (
    Amounts,
    Profile,
    Size,
    read_amounts,
    read_default,
    read_profile,
)
from offload.backends.kubernetes.security import SecretKey, Security, own_variable, read_secret, read_security
from offload.errors import SettingsError
from offload.wire.version import VERSION

_WEEK: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """What a cluster's table says; see :data:`SETTINGS`. ``namespace`` is empty for the context's own."""

    context: str | None = None
    kubeconfig: str | None = None
    in_cluster: bool = False
    namespace: str = ""
    callback: str = GATEWAY
    runner_image: str = f"offload-runner:{VERSION}"
    images: Mapping[str, str] = field(default_factory=lambda: STANDARD)
    allowed_images: tuple[str, ...] = ("*",)
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    default: Size = field(default_factory=Size)
    maximum: Amounts = field(default_factory=Amounts)
    max_runners: int = 1000
    max_lifetime: float | None = _WEEK
    cpu_limit: bool = False
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    mounts: Mapping[str, Mount] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    security: Security = field(default_factory=Security)
    service_account: str | None = None
    queue: str | None = None
    queues: tuple[str, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)

    @property
    def any_image(self) -> str:
        """The image of commands whose language has none of its own."""
        return self.images[OTHERS]


def _callback(written: Any) -> str:
    address = text(written).rstrip("/")
    if address == GATEWAY:
        return address
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ValueError(f"{written!r} is neither 'gateway' nor an address such as 'http://10.0.0.5:8750'")
    if _is_loopback(parts.hostname):
        raise ValueError(f"pods can't reach this machine as {parts.hostname}; use its address in the network")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _file(written: Any) -> str:
    return os.path.expanduser(text(written))


def _policy(written: Any) -> str:
    if written not in _POLICIES:
        raise ValueError(f"{written!r} isn't one of {', '.join(_POLICIES)}")
    return str(written)


def _language(written: Any) -> str:
    if written not in LANGUAGES:
        raise ValueError(f"there is no such language; the languages are {', '.join(LANGUAGES)}")
    return str(written)


def _images(written: Any) -> dict[str, str]:
    return {**STANDARD, **table_of(image, names=_language)(written)}


def _runners(written: Any) -> int:
    if whole(written) == 0:
        raise ValueError("a cluster without runners can't do anything")
    return whole(written)


def _patch(written: Any) -> dict[str, Any]:
    patch = json_table(written)
    found: list[tuple[Path, str]] = []
    for part, value in patch.items():
        try:
            check_patch({part: value})
        except ValueError as error:
            found.append(((part,), str(error)))
    if found:
        raise MistakesError(found)
    return patch


_POLICIES: Final = ("Always", "IfNotPresent", "Never")
SETTINGS: Final[Mapping[str, Key]] = {
    "context": Key(text, "the current one", "Which context of the kubeconfig."),
    "kubeconfig": Key(_file, "`KUBECONFIG`, or `~/.kube/config`", "The kubeconfig file."),
    "in_cluster": Key(
        flag, "false", "`true` where the launcher runs in this cluster: its own service account is used."
    ),
    "namespace": Key(label_name, "the context's", "The namespace of everything that is made."),
    "callback": Key(
        _callback,
        "gateway",
        "How runners reach this launcher. `gateway`: a small pod in the namespace, to which the launcher "
        "connects through the API server, so that nothing has to reach this machine. Or `http://HOST:PORT`, "
        "an address in the launcher's `listen` that pods reach: faster, where there is one.",
    ),
    "runner_image": Key(
        image,
        f"offload-runner:{VERSION}",
        "The image of the runner, of the launcher's own version; see `deploy/images/`.",
    ),
    "images": Key(
        _images,
        ", ".join(f"{language}: {name}" for language, name in STANDARD.items()),
        f"The image of each language, for jobs that name none: {', '.join(LANGUAGES)}. "
        "`default` is for the rest.",
    ),
    "allowed_images": Key(
        list_of(text),
        '["*"]',
        "Which images a job may name besides those: patterns, in which `*` stands for any text, such as "
        "`rocker/*`. An empty list allows none.",
    ),
    "image_pull_policy": Key(_policy, "Kubernetes' own", f"{', '.join(_POLICIES)}: of every image."),
    "image_pull_secrets": Key(
        list_of(object_name), "[]", "Secrets in the namespace, for registries that ask who is there."
    ),
    "default": Key(
        read_default,
        "cpus = 1, memory = 2Gi",
        "A table with `cpus`, `memory` and `ephemeral_storage` for what neither a job nor its profile says. "
        "Memory is request and limit. Ephemeral storage is both too where it is said; else the limit is "
        "10 GiB, of which 1 GiB is requested, so that small nodes aren't full of promises.",
    ),
    "maximum": Key(
        read_amounts,
        "none",
        "The most that one task may ask for: a table with `cpus`, `memory`, `gpus`, `ephemeral_storage`.",
    ),
    "max_runners": Key(_runners, "1000", "The most runners that one job gets at a time."),
    "max_lifetime": Key(
        or_false(duration),
        "7d",
        "How long the runners of one job may exist, whatever happens: Kubernetes itself ends them. "
        "`false` for ever.",
    ),
    "cpu_limit": Key(
        flag,
        "false",
        "Whether the kernel holds tasks to their CPUs. Without, a task has at least what it asked for, "
        "and what is free besides. A namespace whose quota counts `limits.cpu` needs `true`.",
    ),
    "profiles": Key(
        table_of(read_profile, names=short_name),
        "none",
        "Tables `[clusters.NAME.profiles.PROFILE]`, for `--profile`.",
    ),
    "mounts": Key(
        table_of(read_mount, names=short_name),
        "none",
        "Tables `[clusters.NAME.mounts.MOUNT]`, for `--mount`.",
    ),
    "secrets": Key(
        table_of(read_secret, names=own_variable),
        "none",
        "Secrets of the namespace that every task sees as variables: `VARIABLE = { secret = …, key = … }`.",
    ),
    "security": Key(read_security, "see below", "A table: as whom containers run."),
    "service_account": Key(
        object_name,
        "the namespace's",
        "The service account of the pods, for example with a role of the cloud. Its token isn't mounted.",
    ),
    "queue": Key(
        label_value, "none", "The Kueue queue in which jobs wait that name none. Such jobs start suspended."
    ),
    "queues": Key(list_of(label_value), "[]", "Other Kueue queues that a job may name with `--queue`."),
    "pod": Key(
        _patch,
        "none",
        "A strategic merge patch for the template of the pods, applied last: tables `metadata` and `spec`. "
        "The containers are called `task` and `runner`.",
    ),
}
"""Every key of a cluster whose backend is ``kubernetes``."""


def read_settings(written: Mapping[str, Any], cluster: str) -> KubernetesSettings:
    """The settings of a cluster.

    Args:
        written: its table, without ``backend``.
        cluster: its name.

    Raises:
        SettingsError: keys are unknown, values don't fit or contradict each other; all of it, with the path
            of each key in ``details["mistakes"]``.
    """
    try:
        settings = KubernetesSettings(**read_table(SETTINGS, written))
        found = list(_contradictions(settings, written))
    except MistakesError as error:
        found = error.found
    if found:
        told = "; ".join(f"{'.'.join(path)}: {sentence}" for path, sentence in found)
        raise SettingsError(
            f"The settings of the cluster {cluster} aren't valid: {told}.",
            next_step=f"The settings of a Kubernetes cluster are: {', '.join(SETTINGS)}.",
            details={"mistakes": [(list(path), sentence) for path, sentence in found]},
        )
    return settings


def _contradictions(settings: KubernetesSettings, written: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if settings.in_cluster:
        for key in ("context", "kubeconfig"):
            if key in written:
                yield (key,), "that contradicts in_cluster = true"
    sizes: list[tuple[Path, Amounts, Amounts]] = [(("default",), settings.default.amounts, settings.maximum)]
    for name, profile in settings.profiles.items():
        most = profile.maximum.over(settings.maximum)
        sizes.append((("profiles", name), profile.amounts.over(settings.default.amounts), most))
    for path, size, most in sizes:
        if excess := list(size.excess(most)):
            yield path, f"that is more than its own maximum: {', '.join(excess)}"
