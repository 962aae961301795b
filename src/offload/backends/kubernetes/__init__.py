"""Kubernetes as a cluster: a pool is one Job used as a work queue, a runner is one pod of it.

Nothing but rights in one namespace is needed. The person's image stays untouched: the runner works beside it
in a native sidecar from Offload's own image, and hands commands to a shell script in the person's container.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

from offload.backends.contract import BackendContext
from offload.backends.kubernetes.backend import KubernetesBackend
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.kubeconfig import in_cluster, read_access
from offload.backends.kubernetes.settings import read_settings
from offload.errors import BackendUnavailableError, SettingsError

__all__ = ["KubernetesBackend", "create"]

_ALPHABET: Final = "abcdefghjkmnpqrstvwxyz23456789"
_IDENTITY: Final = "identity"


def create(context: BackendContext) -> KubernetesBackend:
    """The Kubernetes cluster that ``context`` describes; the entry point ``kubernetes``.

    Raises:
        SettingsError: the settings aren't valid.
        BackendUnavailableError: the kubeconfig can't be read, or lacks what the settings name.
    """
    settings = read_settings(context.settings, context.cluster)
    try:
        if settings.in_cluster:
            access = in_cluster()
        else:
            file = Path(settings.kubeconfig) if settings.kubeconfig else None
            access = read_access(file, settings.context, os.environ)
    except (
        SettingsError
    ) as error:  # about the kubeconfig: it may be there again later, and other clusters work
        raise BackendUnavailableError(error.sentence, next_step=error.next_step) from error
    placed = replace(settings, namespace=settings.namespace or access.namespace)
    return KubernetesBackend(placed, Client(access), launcher=identity(context.directory), context=context)


def identity(directory: Path) -> str:
    """Who this launcher is on the cluster: ten random characters, kept for as long as its data."""
    file = directory / _IDENTITY
    try:
        return file.read_text(encoding="ascii")
    except FileNotFoundError:
        part = file.with_suffix(".part")
        part.write_text("".join(secrets.choice(_ALPHABET) for _ in range(10)), encoding="ascii")
        part.replace(file)
        return file.read_text(encoding="ascii")
