"""This machine as a cluster: runners are detached processes that outlive the launcher.

What is enforced: the machine is never promised twice (admission), memory (by the kernel where a cgroup v2 is
delegated, else by watching process trees), wall time, and that nothing stays behind.
"""

from __future__ import annotations

from offload.backends.contract import BackendContext
from offload.backends.local.backend import LocalBackend
from offload.backends.local.cgroup import find_delegation
from offload.backends.local.machine import look_at_machine
from offload.backends.local.settings import read_settings

__all__ = ["LocalBackend", "create"]


def create(context: BackendContext) -> LocalBackend:
    """The local cluster that ``context`` describes; the entry point ``local``.

    Raises:
        SettingsError: the settings aren't valid.
    """
    settings = read_settings(context.settings)
    return LocalBackend(
        context.directory,
        capacity=settings.capacity(look_at_machine()),
        patience=settings.patience,
        delegation=find_delegation(context.directory),
    )
