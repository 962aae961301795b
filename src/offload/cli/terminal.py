r"""The person's two streams: the script's bytes go through untouched, Offload's own words stay out of them.

Offload speaks on stderr. Where stderr is a terminal it may also draw one status line, which is erased before
anything else is written and never drawn while a line of the script is unfinished. A pipe or a file gets
no status line and no colour. Who asked for quiet hears only of what needs attention.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from offload.cli.fitting import shortened
from offload.errors import OutputError, is_disk_full

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
_STYLES: Final = {"": "", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ERASE: Final = b"\r\x1b[2K"
_TICK: Final = 0.5
"""Seconds between two looks whether a question still needs an answer."""
BROKEN_PIPE: Final = 141
"""Exit status when nobody reads our output any more: 128 + SIGPIPE."""


class OutputClosedError(Exception):
    """Nobody reads our output any more."""


_ELSEWHERE: Final = "Free some space, or send the output elsewhere, and try again."


@contextlib.contextmanager
def output(next_step: str = _ELSEWHERE) -> Iterator[None]:
    """Turn the system's word for a stream that takes no more into ours.

    Raises:
        OutputError: its disk is full, or its device fails.
    """
    try:
        yield
    except OSError as error:
        if found := output_error(error, next_step):
            raise found from error
        raise


def output_error(error: OSError, next_step: str = _ELSEWHERE) -> OutputError | None:
    """What the system says in our words, if it says that a disk is full, or a device or a terminal fails."""
    if not is_disk_full(error) and error.errno != errno.EIO:
        return None
    what = error.filename or "The output"
    return OutputError(f"{what} can't be written: {error.strerror}.", next_step=next_step)


def is_terminal(fd: int) -> bool:
    """Whether a stream is a terminal; a closed one is not."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def wants_colour(fd: int, environ: Mapping[str, str] | None = None) -> bool:
    """Whether escape sequences may be written: only to a terminal, unless NO_COLOR or TERM say no."""
    environ = os.environ if environ is None else environ
    return is_terminal(fd) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(text: str, style: str, *, colour: bool) -> str:
    """``text`` in a style, if colours are wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour and style else text


def _is_in_front() -> bool:
    """Whether this process may read from its terminal; one in the background would be stopped."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return False


class Terminal:
    """Both streams of this process, for any number of threads.

    Attributes:
        quiet: whether to say only what needs attention.
        can_draw: whether there is a status line.
        is_watched: whether somebody at a terminal wants to know what goes on.
        out_is_terminal: whether stdout is a terminal.
        err_is_terminal: whether stderr is one.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.is_watched = is_terminal(STDERR) and not quiet
        self.can_draw = self.is_watched and os.environ.get("TERM") != "dumb"
        self.out_is_terminal = is_terminal(STDOUT)
        self.err_is_terminal = is_terminal(STDERR)
        self._colour = wants_colour(STDERR)
        self._lock = threading.Lock()
        self._drawn = False
        self._mid_line = False

    def write(self, fd: int, data: bytes) -> None:
        """Write bytes of the script, unchanged and at once.

        Raises:
            BrokenPipeError: nobody reads them any more.
            OutputError: they can't be written.
        """
        with self._lock:
            self._erase()
            with output():
                _write_all(fd, data)
            if self.out_is_terminal if fd == STDOUT else self.err_is_terminal:
                self._mid_line = not data.endswith(b"\n")

    def say(self, text: str, *, style: str = "") -> None:
        """Write a line of Offload's own to stderr."""
        with self._lock:
            self._erase()
            begin = b"\n" if self._mid_line and self.err_is_terminal else b""
            line = paint(text, style, colour=self._colour).encode("utf-8", "backslashreplace")
            _tell(begin + line + b"\n")
            self._mid_line = False

    @property
    def can_ask(self) -> bool:
        """Whether somebody may be there who sees a question and can answer it."""
        return self.err_is_terminal and is_terminal(STDIN) and _is_in_front()

    def ask(self, question: str, matters: Callable[[], bool]) -> str | None:
        """What is typed in answer to a question, in small letters; empty at the end of input.

        Args:
            question: written without a line break; no status line is drawn until it is answered.
            matters: asked now and then while nothing is typed; once it is false, the answer is None.
        """
        with self._lock:
            self._erase()
            begin = b"\n" if self._mid_line else b""
            _tell(begin + paint(question, "bold", colour=self._colour).encode())
            self._mid_line = True
        while not select.select([STDIN], [], [], _TICK)[0]:
            if not matters():
                self._break_line()
                return None
        answer = os.read(STDIN, 1 << 10)
        if not answer.endswith(b"\n"):
            self._break_line()
        self._mid_line = False
        return answer.decode("utf-8", "replace").strip().lower()

    def _break_line(self) -> None:
        with self._lock:
            if self._mid_line:
                _tell(b"\n")
                self._mid_line = False

    @property
    def room(self) -> int:
        """Characters of a status line: some terminals begin a new line once the last column is written."""
        return max(shutil.get_terminal_size().columns - 1, 1)

    def draw(self, text: str) -> None:
        """Draw the status line, if there is a terminal and no unfinished line of the script on it."""
        with self._lock:
            if self.can_draw and not self._mid_line:
                line = paint(shortened(text, self.room), "dim", colour=self._colour)
                _tell(_ERASE + line.encode("utf-8", "backslashreplace"))
                self._drawn = True

    def erase(self) -> None:
        """Take the status line away."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            _tell(_ERASE)


def _tell(data: bytes) -> None:
    """Write to stderr; where it takes no more, nobody can be told that either."""
    with contextlib.suppress(OutputError), output():
        _write_all(STDERR, data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another program made the terminal non-blocking
            select.select([], [fd], [])
