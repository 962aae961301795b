"""Real runner processes against a fake launcher."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fakes.launcher import TOKEN, FakeLauncher


class RunnerProcess:
    """``python -m offload.runner`` as a backend would start it."""

    def __init__(self, launcher: FakeLauncher, directory: Path, name: str, **env: str) -> None:
        self.name = name
        self.directory = directory / name
        token = directory / "token"
        token.write_text(TOKEN)
        base = {key: value for key, value in os.environ.items() if not key.startswith("OFFLOAD_")}
        self.log = (directory / f"{name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "offload.runner"],
            env=base
            | {
                "OFFLOAD_RUNNER": name,
                "OFFLOAD_LAUNCHER": launcher.address,
                "OFFLOAD_TOKEN_FILE": str(token),
                "OFFLOAD_RUNNER_DIR": str(self.directory),
                "OFFLOAD_CHECKPOINTS": str(directory / "checkpoints"),
            }
            | env,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def wait(self, timeout: float = 20.0) -> int:
        return self.process.wait(timeout)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def tasks(self) -> list[int]:
        """Processes of its tasks, found by the marker in their environment."""
        return processes_with(f"OFFLOAD_ATTEMPT_OF={self.name}")


def processes_with(marker: str) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if marker.encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], object], timeout: float = 20.0) -> object:
    deadline = time.monotonic() + timeout
    while not (got := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return got
