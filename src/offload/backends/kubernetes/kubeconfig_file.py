"""The shape of a kubeconfig, as far as it is looked at: read from YAML, and merged from several files.

Source: ``clientcmd/api/v1`` of client-go. Names are kubectl's, also where it mixes ``kebab-case`` and
``camelCase``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct, field

from offload.errors import SettingsError

__all__ = ["ClusterEntry", "ContextEntry", "ExecEntry", "Kubeconfig", "UserEntry", "load", "merged"]

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Extension(Struct):
    """Something that a program keeps in the file."""

    name: str = ""
    extension: Any = None


class ContextEntry(Struct):
    """A cluster, a user and a namespace, by name."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class ClusterEntry(Struct, rename="kebab"):
    """An API server."""

    server: str = ""
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str | None = None
    extensions: list[Extension] = []


class Variable(Struct):
    """A variable of a plug-in."""

    name: str
    value: str = ""


class ExecEntry(Struct, rename="camel"):
    """A plug-in."""

    command: str = ""
    args: list[str] = []
    env: list[Variable] = []
    api_version: str = ""
    install_hint: str = ""
    interactive_mode: str = ""
    provide_cluster_info: bool = False


class AuthProvider(Struct):
    """What was there before plug-ins."""

    name: str = ""


class UserEntry(Struct, rename="kebab"):
    """Somebody's credentials."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str | None = None
    token_file: str = field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    exec: ExecEntry | None = None
    auth_provider: AuthProvider | None = None
    acts_as: str = field(default="", name="as")
    as_uid: str = ""
    as_groups: list[str] = []
    as_user_extra: dict[str, list[str]] = {}


class _NamedContext(Struct):
    name: str
    context: ContextEntry = field(default_factory=ContextEntry)


class _NamedCluster(Struct):
    name: str
    cluster: ClusterEntry = field(default_factory=ClusterEntry)


class _NamedUser(Struct):
    name: str
    user: UserEntry = field(default_factory=UserEntry)


class _File(Struct, rename="kebab"):
    current_context: str = ""
    contexts: list[_NamedContext] = []
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One file, or several merged; clusters and users with the directory of the file they are in."""

    current: str
    contexts: dict[str, ContextEntry]
    clusters: dict[str, tuple[ClusterEntry, Path]]
    users: dict[str, tuple[UserEntry, Path]]


def load(path: Path) -> Kubeconfig:
    """What the file ``path`` says.

    Raises:
        SettingsError: it can't be read, or isn't a kubeconfig.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  a safe one
        file = msgspec.convert(_without_nulls(content or {}), type=_File)
    except OSError as error:
        raise SettingsError(f"The kubeconfig {path} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"The kubeconfig {path} is not valid YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"The file {path} is not a kubeconfig: {error}.") from error
    home = path.absolute().parent
    return Kubeconfig(
        file.current_context,
        {each.name: each.context for each in file.contexts},
        {each.name: (each.cluster, home) for each in file.clusters},
        {each.name: (each.user, home) for each in file.users},
    )


def merged(files: Iterable[Kubeconfig]) -> Kubeconfig:
    """Several files as one: the first that names something wins."""
    whole = Kubeconfig("", {}, {}, {})
    for file in files:
        whole = Kubeconfig(
            whole.current or file.current,
            file.contexts | whole.contexts,
            file.clusters | whole.clusters,
            file.users | whole.users,
        )
    return whole


def _without_nulls(value: Any) -> Any:
    """For kubectl, nothing is the same as not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
