"""Kills a process of Offload at one chosen point; on PYTHONPATH it takes effect in every Python.

A point of the launcher is just before and just after each transaction and each call of its backend; a point
of a runner is just before and just after each request. Between two points nothing outside the process changes
that Offload would have to repair, so these are all the places where dying can matter.
"""

from __future__ import annotations

import functools

from crash_point import IS_CHOSEN, PROGRAM, point


def _asynchronous(owner: type, method: str) -> None:
    inner = getattr(owner, method)

    @functools.wraps(inner)
    async def outer(self, *args, **kwargs):
        name = f"{method} {getattr(args[0], '__name__', '') if args else ''}".strip()
        point(f"before {name}")
        result = await inner(self, *args, **kwargs)
        point(f"after {name}")
        return result

    setattr(owner, method, outer)


def _synchronous(owner: type, method: str) -> None:
    inner = getattr(owner, method)

    @functools.wraps(inner)
    def outer(self, verb, path, *args, **kwargs):
        name = f"{verb} {path.partition('sha256')[0]}"
        point(f"before {name}")
        result = inner(self, verb, path, *args, **kwargs)
        point(f"after {name}")
        return result

    setattr(owner, method, outer)


if IS_CHOSEN:
    if PROGRAM == "server":
        from offload.backends.local.backend import LocalBackend
        from offload.store.engine import Store

        _asynchronous(Store, "run")
        _asynchronous(LocalBackend, "scale")
        _asynchronous(LocalBackend, "release")
    else:
        from offload.wire.http import Connection

        _synchronous(Connection, "request")
