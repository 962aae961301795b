"""Python processes beside the launcher: in a session of their own, so that they need not end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from offload.wire.forking import call_of, words_of

_RESET: Final = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def session_environment() -> dict[str, str]:
    """The environment of this process without any ``OFFLOAD_`` variable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}


def spawn(module: str, env: Mapping[str, str], *, log: str, stdin: int | None = None) -> int:
    """Start ``python -m module``, which says what it has to say into a file; its pidfd."""
    pid = os.posix_spawn(
        sys.executable,
        call_of(module),
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            if stdin is None
            else (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_RESET,
    )
    try:
        return os.pidfd_open(pid)
    except OSError:  # there are too many open files
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def ending_of(pidfd: int) -> str:
    """Wait for a process that has ended or is about to, and forget it; how, if it was our child."""
    try:
        return words_of(os.waitid(os.P_PIDFD, pidfd, os.WEXITED))
    except ChildProcessError:
        return ""


def send_signal(pidfd: int, number: signal.Signals) -> None:
    """Send a signal; a process that has just ended is no error."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)
