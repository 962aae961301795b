"""Kills a process of Offload at one chosen point; on PYTHONPATH it takes effect in every Python.

``CRASH_POINT`` is ``PROGRAM:NUMBER:DIRECTORY``: the process that runs ``offload.PROGRAM`` ends itself with
SIGKILL when it reaches point NUMBER (counted from 0), once: DIRECTORY/crashed then says where. With number -1
nobody is killed, and DIRECTORY/points lists the points that were passed.

A point of the launcher is just before and just after each transaction and each call of its backend; a point
of a runner is just before and just after each request. Between two points nothing outside the process changes
that Offload would have to repair, so these are all the places where dying can matter.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

_program, _number, _directory = (os.environ.get("CRASH_POINT") or "::").split(":", 2)
_passed = 0


def _point(name: str) -> None:
    global _passed
    number, _passed = _passed, _passed + 1
    if int(_number) < 0:
        with open(f"{_directory}/points", "a") as file:
            file.write(f"{name}\n")
        return
    if number == int(_number):
        try:
            os.close(os.open(f"{_directory}/crashed", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
        with open(f"{_directory}/crashed", "w") as file:
            file.write(name)
        os.kill(os.getpid(), signal.SIGKILL)


def _asynchronous(owner: type, method: str) -> None:
    inner = getattr(owner, method)

    @functools.wraps(inner)
    async def outer(self, *args, **kwargs):
        name = f"{method} {getattr(args[0], '__name__', '') if args else ''}".strip()
        _point(f"before {name}")
        result = await inner(self, *args, **kwargs)
        _point(f"after {name}")
        return result

    setattr(owner, method, outer)


def _synchronous(owner: type, method: str) -> None:
    inner = getattr(owner, method)

    @functools.wraps(inner)
    def outer(self, verb, path, *args, **kwargs):
        name = f"{verb} {path.partition('sha256')[0]}"
        _point(f"before {name}")
        result = inner(self, verb, path, *args, **kwargs)
        _point(f"after {name}")
        return result

    setattr(owner, method, outer)


if _program and f"offload.{_program}" in sys.orig_argv:
    if _program == "server":
        from offload.backends.local.backend import LocalBackend
        from offload.store.engine import Store

        _asynchronous(Store, "run")
        _asynchronous(LocalBackend, "scale")
        _asynchronous(LocalBackend, "release")
    else:
        from offload.wire.http import Connection

        _synchronous(Connection, "request")
