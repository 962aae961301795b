"""Finding the launcher, and starting a local one when nobody answers.

The launcher of this machine is started by the first command that needs it and ends by itself when it has
been idle. Two commands at once start one: a lock makes the second wait for the first. A launcher that is
just ending still holds its own lock, so it is waited for, and a new one started after it. Whatever goes
wrong, the person sees the last lines that the launcher wrote.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import DiskFullError, LauncherUnreachableError, OffloadError
from offload.wire.http import Connection
from offload.wire.places import Places, find_places, private_directory

PATIENCE: Final = 30.0
"""Seconds a launcher gets until it answers."""
_LOOK_AGAIN: Final = 0.02
_TAIL: Final = 12
"""Lines of the launcher's log that an error shows."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the launcher is.

    Attributes:
        address: ``unix:/path`` or ``http(s)://host:port``.
        token: bearer token; empty over a Unix socket.
        places: of this machine's launcher, which is started when it doesn't answer; None of another one.
    """

    address: str
    token: str = ""
    places: Places | None = None


def find_endpoint(environ: Mapping[str, str] | None = None) -> Endpoint:
    """The launcher that ``OFFLOAD_LAUNCHER`` names, else the one of this machine."""
    environ = os.environ if environ is None else environ
    if address := environ.get("OFFLOAD_LAUNCHER"):
        return Endpoint(address, environ.get("OFFLOAD_TOKEN", ""))
    places = find_places(environ)
    return Endpoint(places.address, places=places)


def answers(address: str) -> bool:
    """Whether a launcher answers there now."""
    try:
        with Connection(address, timeout=5.0) as connection:
            connection.request("GET", "/v1/healthz").read()
    except (OSError, OffloadError):
        return False
    return True


def ensure_running(places: Places, *, patience: float = PATIENCE) -> None:
    """Return when this machine's launcher answers; start it if it doesn't.

    Raises:
        LauncherUnreachableError: it didn't answer in time, or ended at once; shows the end of its log.
        DiskFullError: there is no space left to start it.
    """
    deadline = time.monotonic() + patience
    try:
        places.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_directory(places.runtime, LauncherUnreachableError)
        private_directory(places.socket.parent, LauncherUnreachableError)
        with _locked(places.runtime / "start.lock"):
            _start_until_answered(places, deadline)
    except OSError as error:
        raise DiskFullError(
            f"The launcher can't be started: {error.strerror}: {error.filename or places.data}.",
            next_step=f"Make space and check that you may write to {places.data} and {places.runtime}.",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _start_until_answered(places: Places, deadline: float) -> None:
    child: int | None = None
    log = places.data / "launcher.log"
    while not answers(places.address):
        if child is not None and (ended := os.waitpid(child, os.WNOHANG))[0]:
            child = None
            # One that was killed is started again; one that gave up said why.
            if not os.WIFSIGNALED(ended[1]) and not _is_held(places.runtime / "launcher.lock"):
                raise _did_not_start("The launcher ended right after its start.", log)
        if child is None and not _is_held(places.runtime / "launcher.lock"):
            child = _start(log)
        if time.monotonic() > deadline:
            raise _did_not_start("The launcher doesn't answer.", log)
        time.sleep(_LOOK_AGAIN)


def _is_held(lock: Path) -> bool:
    """Whether a launcher lives, answering or just ending."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _start(log: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not in the person's directory: it would be kept busy, and -P doesn't let a script called json.py there
    # become the launcher's.
    python = [sys.executable, "-P", "-m", "offload.server"]
    argv = ["/bin/sh", "-c", 'cd / && exec "$@"', "sh", *python]
    return os.posix_spawn(argv[0], argv, _environ(), file_actions=actions, setsid=True)


def _environ() -> dict[str, str]:
    home = os.environ.get("OFFLOAD_HOME")
    return {**os.environ, **({"OFFLOAD_HOME": os.path.abspath(home)} if home else {})}


def _did_not_start(sentence: str, log: Path) -> LauncherUnreachableError:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL:] if log.exists() else []
    shown = "".join(f"\n  {line}" for line in lines)
    return LauncherUnreachableError(
        f"{sentence}{' The end of its log:' if lines else ''}{shown}",
        next_step=f"Read {log}, then try again.",
        details={"log": str(log)},
    )
