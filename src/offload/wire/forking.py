"""What a launcher asks of the fork server of its runners: start one, or say how one has ended. And in what
both must agree: how a runner is called, and the words for its end.

A message is some byte strings with a zero after each, as in the environment of a process: ``start``, the
file for what the runner says, and its environment; or ``reap`` and a process id.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

READY: Final = b"ready"
"""What the server says first."""
GO: Final = b"go"
"""What the launcher writes into the pipe at which a runner waits, once it knows of it."""
ROOM: Final = "ROOM_FOR_A_RUNNER"
"""A variable of the fork server that is there to be overwritten."""
LARGEST: Final = 1 << 17
"""Bytes of a message, at most."""


def call_of(module: str) -> list[str]:
    """What starts a module of Offload in a process of its own."""
    # -P: a file `json.py` in the directory where the launcher was started must not be imported.
    return [sys.executable, "-P", "-m", module]


def words_of(ended: os.waitid_result | None) -> str:
    """How a process ended; empty if nobody knows."""
    if ended is None:
        return ""
    return f"{'exit status' if ended.si_code == os.CLD_EXITED else 'signal'} {ended.si_status}"


@dataclass(frozen=True, slots=True)
class Start:
    """A runner is wanted, with this environment and this file to say things to."""

    log: str
    env: Mapping[bytes, bytes]

    def encode(self) -> bytes:
        """As a message."""
        return _joined(b"start", os.fsencode(self.log), *(name + b"=" + at for name, at in self.env.items()))


@dataclass(frozen=True, slots=True)
class Reap:
    """A runner has ended."""

    pid: int

    def encode(self) -> bytes:
        """As a message."""
        return _joined(b"reap", str(self.pid).encode())


def parse_request(data: bytes) -> Start | Reap:
    """What a message asks for."""
    kind, first, *rest = data.split(b"\0")[:-1]
    if kind == b"reap":
        return Reap(int(first))
    pairs = (one.partition(b"=") for one in rest)
    return Start(os.fsdecode(first), {name: value for name, _, value in pairs})


def _joined(*parts: bytes) -> bytes:
    return b"".join(part + b"\0" for part in parts)
