"""Kills the launcher at one chosen request to Kubernetes; on PYTHONPATH it takes effect in every Python.

``CRASH_POINT`` is ``NUMBER:DIRECTORY``: the launcher ends itself with SIGKILL at point NUMBER (counted from
0), once: DIRECTORY/crashed then says where. With number -1 nobody is killed, and DIRECTORY/points lists the
points that were passed.

A point is just before and just after each request that changes something, and each one that asks for a single
pool: all that is done to create, grow, shrink and release it. The store's transactions are those of any job.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

_number, _, _directory = (os.environ.get("CRASH_POINT") or "").partition(":")
_passed = 0


def _point(name: str) -> None:
    global _passed
    number, _passed = _passed, _passed + 1
    with open(f"{_directory}/points", "a") as file:
        file.write(f"{name}\n")
    if number == int(_number):
        try:
            os.close(os.open(f"{_directory}/crashed", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
        with open(f"{_directory}/crashed", "w") as file:
            file.write(name)
        os.kill(os.getpid(), signal.SIGKILL)


if _number and "offload.server" in sys.orig_argv:
    from offload.backends.kubernetes.transport import Transport

    _call = Transport.call

    @functools.wraps(_call)
    async def _passing(self, request):
        of_a_pool = "offload.dev/pool=" in str((request.query or {}).get("labelSelector"))
        if request.method == "GET" and not of_a_pool:
            return await _call(self, request)
        name = f"{request.method} {request.what}"
        _point(f"before {name}")
        answer = await _call(self, request)
        _point(f"after {name}")
        return answer

    Transport.call = _passing
