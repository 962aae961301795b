"""The command as a shell sees it: bytes on two streams and an exit status."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes.person import OFFLOAD, at_work

COMMAND = OFFLOAD


class Shell:
    """A shell in a directory of its own, with an Offload of its own.

    Attributes:
        here: the working directory.
        home: ``OFFLOAD_HOME``; nothing makes it but Offload.
        environ: what commands see.
    """

    def __init__(self, here: Path, environ: dict[str, str]) -> None:
        self.here = here
        self.environ = {**environ, "PYTHONWARNINGS": "error"}
        self.home = Path(environ["OFFLOAD_HOME"])

    def start(self, *words: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a command; the caller ends it."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        place = {"cwd": self.here, "env": self.environ}
        return subprocess.Popen([COMMAND, *words], **{**place, **pipes, **settings})

    def offload(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        with self.start(*words, **settings) as process:
            try:
                out, err = process.communicate(timeout=60)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def text(self, *words: str) -> str:
        """What a command prints that must end well."""
        done = self.offload(*words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def write(self, name: str, text: str) -> Path:
        """A file in the working directory."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@contextmanager
def a_shell(root: Path) -> Iterator[Shell]:
    """A shell; whatever it leaves running is ended."""
    with at_work(root) as person:
        yield Shell(person.work, person.env)
