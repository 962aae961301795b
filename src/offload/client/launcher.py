"""Finding the launcher, and starting a local one when nobody answers.

The launcher of this machine is started by the first command that needs it and ends by itself when it has
been idle. Two commands at once start one: a lock makes the second wait for the first. A launcher that is
just ending still holds its own lock, so it is waited for, and a new one started after it. Whatever goes
wrong, the person sees the last lines that the launcher wrote.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import (
    DiskFullError,
    LauncherUnreachableError,
    NotPermittedError,
    OffloadError,
    error_from_json,
    is_disk_full,
)
from offload.wire.http import Connection
from offload.wire.places import Places, find_places, private_directory

PATIENCE: Final = 30.0
"""Seconds a launcher gets until it answers."""
_LOOK_AGAIN: Final = 0.02
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
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
        OffloadError: it can't start, and says why: a setting isn't valid, its store can't be opened …
        NotPermittedError: its directories may not be written.
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
        raise _not_startable(error, places) from error


def _not_startable(error: OSError, places: Places) -> OffloadError:
    place = error.filename or places.data
    if is_disk_full(error):
        return DiskFullError(
            "There is no space left to start the launcher.",
            next_step=f"Free space where {places.data} and {places.runtime} are.",
        )
    if error.errno in _FORBIDDEN:
        return NotPermittedError(
            f"You may not write to {place}.",
            next_step="Make it yours, or set OFFLOAD_HOME to a directory that you may write to.",
        )
    return LauncherUnreachableError(
        f"The launcher can't be started: {error.strerror}: {place}.",
        next_step=f"See that {places.data} and {places.runtime} can be directories.",
    )


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
                raise _refusal(places) or _did_not_start("The launcher ended right after its start.", log)
        if child is None and not _is_held(places.runtime / "launcher.lock"):
            places.refusal.unlink(missing_ok=True)
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
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    # Not in the person's directory: it would be kept busy, and -P doesn't let a script called json.py there
    # become the launcher's.
    python = [sys.executable, "-P", "-m", "offload.server"]
    argv = ["/bin/sh", "-c", 'cd / && exec "$@"', "sh", *python]
    try:
        # On a full disk the launcher could tell nobody that it is full.
        os.write(output, time.strftime("%Y-%m-%d %H:%M:%S.000Z info Starting.\n", time.gmtime()).encode())
        return os.posix_spawn(argv[0], argv, _environ(), file_actions=actions, setsid=True)
    finally:
        os.close(output)


def _environ() -> dict[str, str]:
    home = os.environ.get("OFFLOAD_HOME")
    return {**os.environ, **({"OFFLOAD_HOME": os.path.abspath(home)} if home else {})}


def _refusal(places: Places) -> OffloadError | None:
    """Why the launcher refused to start, in its own words: of a setting, for example, with its line."""
    try:
        return error_from_json(json.loads(places.refusal.read_text()))
    except (FileNotFoundError, ValueError):
        return None


def _did_not_start(sentence: str, log: Path) -> LauncherUnreachableError:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL:] if log.exists() else []
    shown = "".join(f"\n  {line}" for line in lines)
    return LauncherUnreachableError(
        f"{sentence}{' The end of its log:' if lines else ''}{shown}",
        next_step=f"Read {log}, then try again.",
        details={"log": str(log)},
    )
