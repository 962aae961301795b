"""Offload: send any script to a cluster, and get everything back.

The names below are the SDK. They are loaded when they are used, because the command line and every runner
import this package at each start.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing takes longer than all else here, and type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from offload.client.sdk import Job, run
    from offload.errors import OffloadError

__all__ = ["Job", "OffloadError", "run"]


def __getattr__(name: str) -> Any:
    if name == "OffloadError":
        from offload.errors import OffloadError  # noqa: PLC0415  loaded when used

        return OffloadError
    if name in __all__:
        from offload.client import sdk  # noqa: PLC0415  loaded when used

        return getattr(sdk, name)
    raise AttributeError(f"module 'offload' has no attribute {name!r}")
