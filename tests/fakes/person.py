"""A person at a terminal: an empty home, a working directory, and the real ``offload`` command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from offload.runner.tree import descendants

OFFLOAD = str(Path(sys.executable).with_name("offload"))


def wait_until(
    condition: Callable[[], Any], *, seconds: float = 30.0, what: str | Callable[[], str] = ""
) -> Any:
    """The first true value of ``condition``; fails when there is none in time, and says ``what`` then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= deadline:
            told = what() if callable(what) else what
            raise AssertionError(f"waited {seconds:g} s in vain for {told or condition}")
        time.sleep(0.02)
    return found


class Person:
    """Runs ``offload`` with everything of Offload below ``root``; nothing survives :meth:`leave`."""

    def __init__(self, root: Path, **env: str) -> None:
        self.root = root
        self.home = root / "home"
        self.work = root / "work"
        for path in (self.home, self.work):
            path.mkdir(parents=True, exist_ok=True)
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**keep, "HOME": str(self.home), "OFFLOAD_HOME": str(root / "offload"), **env}

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    prefix: tuple[str, ...] = ()
    """Words before the command, for a person in other circumstances."""

    def start(self, *words: str, cwd: Path | None = None, **options: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        place = {"cwd": cwd or self.work, "env": self.env}
        return subprocess.Popen([*self.prefix, OFFLOAD, *words], **{**place, **pipes, **options})

    def offload(
        self, *words: str, cwd: Path | None = None, status: int | None = 0, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``status`` is what it must exit with, None for any."""
        with self.start(*words, cwd=cwd) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(
            words, process.returncode, out.decode(errors="surrogateescape"), err.decode(errors="replace")
        )
        if status is not None:
            assert done.returncode == status, f"{words} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(self.offload(*words, "--json", status=status).stdout)

    def detach(self, *words: str) -> str:
        """Submit a job and return its id."""
        return self.offload("run", "-d", *words).stdout.strip()

    def processes(self) -> dict[int, str]:
        """Every living process that belongs to this person: its command line by pid."""
        mark = f"HOME={self.home}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def pids_of(self, program: str) -> list[int]:
        """Pids of ``offload.server`` or ``offload.runner``."""
        found = [pid for pid, line in self.processes().items() if f"-m offload.{program} " in line]
        # For an instant a process that one of them starts looks like it.
        below = {pid for one in found for pid in descendants(one)}
        return [pid for pid in found if pid not in below]

    def kill(self, program: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to every process of a program; how many there were."""
        pids = self.pids_of(program)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def leave(self) -> None:
        """End the launcher and its runners, whatever state they are in."""
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        assert not left, f"processes that can't be killed: {left}"


@contextlib.contextmanager
def at_work(root: Path, **env: str) -> Iterator[Person]:
    person = Person(root, **env)
    try:
        yield person
    finally:
        person.leave()
