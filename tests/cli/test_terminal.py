"""What appears on a terminal: the script's bytes, whole, and a status line that never mixes with them."""

import os
import pty
import subprocess
import sys

import pytest

SHOW = """
import sys
from offload.cli.terminal import STDERR, STDOUT, Terminal
terminal = Terminal()
terminal.draw("status one")
terminal.write(STDOUT, b"half")
terminal.draw("never shown")
terminal.write(STDERR, b" line\\n")
terminal.draw("status two")
terminal.say("notice")
terminal.write(STDOUT, b"open")
terminal.say("another")
terminal.draw("x" * 500)
terminal.erase()
"""


def on_a_terminal(code: str, **environ: str) -> bytes:
    """All bytes that a program writes to a terminal of 80 columns."""
    master, slave = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environ}
    with subprocess.Popen([sys.executable, "-c", code], stdout=slave, stderr=slave, env=settings) as process:
        os.close(slave)
        seen = b""
        while piece := read(master):
            seen += piece
    os.close(master)
    assert process.returncode == 0, seen.decode()
    return seen.replace(b"\r\n", b"\n")


def read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""


def test_the_status_line_is_erased_before_output_and_never_drawn_into_an_unfinished_line():
    erase = b"\r\x1b[2K"
    assert on_a_terminal(SHOW, NO_COLOR="1") == (
        erase + b"status one" + erase + b"half line\n"
        + erase + b"status two" + erase + b"notice\n"
        + b"open\nanother\n" + erase + b"x" * 78 + "…".encode() + erase
    )  # fmt: skip


def test_colours_are_used_on_a_terminal_unless_they_are_refused():
    assert b"\x1b[2mstatus one\x1b[0m" in on_a_terminal(SHOW)
    assert b"\x1b[2m" not in on_a_terminal(SHOW, NO_COLOR="1")


def test_a_dumb_terminal_gets_no_escape_sequences():
    assert on_a_terminal(SHOW, TERM="dumb") == b"half line\nnotice\nopen\nanother\n"


def test_in_pipes_each_stream_has_its_own_bytes_and_no_status_line():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, check=True)
    assert done.stdout == b"halfopen"
    assert done.stderr == b" line\nnotice\nanother\n"


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_non_blocking_pipe_loses_nothing(size):
    code = f"""
import os
from offload.cli.terminal import STDOUT, Terminal
os.set_blocking(1, False)
Terminal().write(STDOUT, b"x" * {size})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert len(done.stdout) == size
