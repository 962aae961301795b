"""A container as the agent sees it: a PID namespace in which it is process 1, under any shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from pathlib import Path

from offload.languages import agent_text

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"], "mksh": ["mksh"]}
"""What `sh` is in images: Debian and Ubuntu; RHEL; Alpine; Android and some small ones."""


class Container:
    """The agent, started by a shell, alone with its children in a PID namespace of its own."""

    def __init__(self, directory: Path, shell: str = "dash", *, setup: str = "", **env: str) -> None:
        root = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        agent = [*SHELLS[shell], "-c", agent_text(), "agent", str(directory)]
        self.log = directory.with_name(f"{directory.name}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *("unshare", *root, "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *("sh", "-c", f"{setup}\nexec {shlex.join(agent)}"),
                ],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def agent(self) -> int | None:
        """The agent's process id, seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def below(self) -> list[str]:
        """What runs in the container beside the agent: names and states."""
        found = []
        for status in self._inside():
            with contextlib.suppress(OSError):
                name, state, *_ = Path(f"/proc/{status}/stat").read_text().partition(" (")[2].split()
                found.append(f"{name.rstrip(')')} {state}")
        return found

    def _inside(self) -> list[int]:
        agent = self.agent
        if agent is None:
            return []
        namespace = os.readlink(f"/proc/{agent}/ns/pid")
        inside = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(name) != agent and os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    inside.append(int(name))
        return inside

    def signal(self, number: signal.Signals, *, times: int = 1) -> None:
        """Signal the agent from outside, as the kubelet does."""
        agent = self.agent
        assert agent is not None
        os.kill(agent, number)
        for _ in range(times - 1):
            with contextlib.suppress(ProcessLookupError):  # the first one was enough
                os.kill(agent, number)

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit status, once everything in it is gone."""
        return self.process.wait(timeout)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
