"""Where an API server is and who we are there, as plain values.

What is renewed on disk by others (tokens, certificates) is kept as its path and read when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Access", "Plugin", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A program that hands out credentials, such as ``aws``, ``gke-gcloud-auth-plugin`` or ``kubelogin``.

    Attributes:
        command: a name that is looked up on PATH, or an absolute path.
        arguments: what it is called with.
        environment: variables that it gets on top of the launcher's own.
        api_version: version of ``ExecCredential`` that it speaks.
        install_hint: what its vendor says to somebody who doesn't have it.
        told_cluster: whether it is told which cluster it is for.
        cluster_config: what the kubeconfig says about the cluster for plug-ins alone.
    """

    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    api_version: str
    install_hint: str = ""
    told_cluster: bool = False
    cluster_config: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who we are; without any of it, nobody.

    Attributes:
        certificate: client certificate in PEM, or the file that holds it.
        key: its private key in PEM, or the file that holds it.
        token: bearer token.
        token_file: file with a bearer token that is renewed by somebody else; wins over ``token``.
        plugin: program that hands out a token or a certificate.
        acts_as: headers for acting as somebody else, by name; a name can come twice.
    """

    certificate: bytes | Path | None = None
    key: bytes | Path | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    plugin: Plugin | None = None
    acts_as: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One API server, one user, one namespace.

    Attributes:
        name: what people call it: the context, or ``in-cluster``.
        server: ``https://host:port``, perhaps with a path below which the API begins.
        namespace: where work goes unless said otherwise.
        ca: certificates in PEM that may sign the server's; None for those that the system trusts.
        insecure: accept any certificate.
        tls_server_name: the name that must be in the server's certificate, if it isn't the host.
        proxy_url: ``http(s)://…`` of a proxy on the way.
        user: who we are there.
    """

    name: str
    server: str
    namespace: str = "default"
    ca: bytes | None = field(default=None, repr=False)
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    user: User = field(default_factory=User)
