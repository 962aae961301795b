"""Backends by name, found through entry points: ours come the same way as those of others.

A package makes a backend known with an entry point of the group ``offload.backends`` that names a
:class:`~offload.backends.contract.BackendFactory`. One that can't be imported is no reason to fail: it is
listed with what is wrong, and only who asks for it gets an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from offload.backends.contract import Backend, BackendContext, BackendFactory
from offload.errors import BackendUnavailableError, SettingsError

GROUP: Final = "offload.backends"


def available() -> Mapping[str, BackendFactory | str]:
    """Every installed backend by name: its factory, or a sentence that says why it can't be used."""
    found: dict[str, BackendFactory | str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        found[point.name] = _load(point)
    return found


def load(name: str, context: BackendContext) -> Backend:
    """The backend of one cluster.

    Raises:
        SettingsError: no backend has this name, or the backend refuses its settings.
        BackendUnavailableError: it is installed, but can't be used.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise SettingsError(
            f"Cluster {context.cluster!r} names the backend {name!r}, which is not installed. "
            f"Installed are: {', '.join(sorted(points)) or 'none'}.",
            next_step="Correct the cluster's settings, or install the package that brings this backend.",
        )
    factory = _load(points[name])
    if isinstance(factory, str):
        raise BackendUnavailableError(
            factory, next_step="Install what is missing, or reinstall the package that brings it."
        )
    return factory(context)


def _load(point: EntryPoint) -> BackendFactory | str:
    try:
        factory = point.load()
    except Exception as error:  # noqa: BLE001  a foreign module may raise anything while it is imported
        return f"The backend {point.name!r} ({_home(point)}) can't be loaded: {_words(error)}."
    if not callable(factory):
        return f"The backend {point.name!r} ({_home(point)}) names {point.value!r}, which can't be called."
    checked: BackendFactory = factory
    return checked


def _home(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")
