"""The shell that ends the script when its runner can't: killed with SIGKILL, a runner does nothing any more.

The kernel would end a child with its parent (``PR_SET_PDEATHSIG``), but only the child itself can ask for
that, after the fork and before the command. Such a fork copies the page tables of a process of tens of
megabytes and runs Python in the copy, four times the cost of one that goes straight to the command, which is
much for a short task.

So a shell waits at the end of a pipe. The runner writes there which process group is its script's, and an
empty line when there is none any more. The pipe ends with the runner, and then the shell kills the group that
it heard of last. It belongs to nobody's tree: it is started before the runner becomes a subreaper.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import Final

# What runs in the background would get an empty standard input; a copy of it stays.
_SHELL: Final = """
exec 3<&0
{ while read -r line; do group=$line; done; [ -z "$group" ] || kill -s KILL -- "-$group"; } <&3 &
"""


class Guard:
    """Ends one process group at a time, should this process die.

    Args:
        name: how ``ps`` shows it.

    Raises:
        OSError: there is no shell.
    """

    def __init__(self, name: str) -> None:
        read, self._pipe = os.pipe2(os.O_CLOEXEC)
        try:
            subprocess.run(
                ["/bin/sh", "-c", _SHELL, f"offload-guard {name}"],
                cwd="/",
                env={},  # nobody shall take it for a process of the script
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=True,
            )
        finally:
            os.close(read)

    @contextlib.contextmanager
    def over(self, group: int) -> Iterator[None]:
        """Should this process die within the block, the process group dies with it."""
        self._tell(f"{group}\n")
        try:
            yield
        finally:
            self._tell("\n")

    def _tell(self, line: str) -> None:
        # Somebody ended the guard. The script is still found by its marks, only later.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode())
