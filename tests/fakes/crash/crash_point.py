"""Ends this process with SIGKILL at one chosen point; what the points are, a ``sitecustomize.py`` decides.

``CRASH_POINT`` is ``PROGRAM:NUMBER:DIRECTORY``: the process that runs ``offload.PROGRAM`` ends itself when it
reaches point NUMBER (counted from 0), once: DIRECTORY/crashed then says where. With number -1 nobody is
killed. DIRECTORY/points lists the points that were passed.
"""

from __future__ import annotations

import os
import signal
import sys

PROGRAM, _number, _directory = (os.environ.get("CRASH_POINT") or "::").split(":", 2)
IS_CHOSEN = bool(PROGRAM) and f"offload.{PROGRAM}" in sys.orig_argv
_passed = 0


def point(name: str) -> None:
    """Pass a point, or end here."""
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
