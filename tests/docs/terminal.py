"""A shell whose output goes to a terminal, for the examples: what a reader would see, without colours."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

_MARK = "\x1e"
_PATIENCE = 60.0


class TerminalSession:
    """One bash that stays, with ``directory`` as its first working directory."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env=environ,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, command: str) -> str:
        """Execute a command; what it showed, up to its end."""
        script = (
            f"{{ {command}\n}} </dev/null; __status=$?; printf '{_MARK}%s{_MARK}' $__status; "
            "(exit $__status)\n"
        )
        self._shell.stdin.write(script.encode())
        self._shell.stdin.flush()
        return self._read_to_mark(command)

    def _read_to_mark(self, command: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        data = b""
        while data.count(_MARK.encode()) < 2:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self._master], [], [], left)[0]:
                raise AssertionError(f"{command!r} hasn't ended. It showed:\n{data.decode()}")
            data += os.read(self._master, 1 << 16)
        return data.decode().partition(_MARK)[0]

    def close(self) -> None:
        """End the shell."""
        self._shell.stdin.close()
        self._shell.wait(timeout=10)
        os.close(self._master)
