"""``offload run`` on a terminal: output, status line and summary, each in its place."""

import json
import os
import pty
import re
import subprocess

import pytest

from fakes.shell import COMMAND


def read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""


@pytest.fixture
def shell(guest):
    return guest


def on_a_terminal(shell, *words: str, **settings: object) -> tuple[int, str]:
    """Exit status, and everything that appeared on a terminal of 100 columns."""
    master, slave = pty.openpty()
    environ = {**shell.environ, "TERM": "xterm", "COLUMNS": "100"}
    streams = {"stdout": slave, "stderr": slave, "stdin": subprocess.DEVNULL, **settings}
    with subprocess.Popen([COMMAND, *words], cwd=shell.here, env=environ, **streams) as process:
        os.close(slave)
        seen = b""
        while piece := read(master):
            seen += piece
    os.close(master)
    return process.returncode, seen.replace(b"\r\n", b"\n").decode()


def as_it_looks(seen: str) -> str:
    """What stands on the screen in the end: erased lines and colours taken out."""
    seen = re.sub(r"\x1b\[[0-9]*m", "", seen)
    return "\n".join(line.rpartition("\r\x1b[2K")[2] for line in seen.split("\n"))


def test_output_is_whole_and_a_summary_tells_what_came_home(shell):
    shell.write("slow.sh", "echo one; sleep 2; printf half; sleep 1.2; echo ' line' >&2; echo x > made.txt\n")
    status, seen = on_a_terminal(shell, "run", "slow.sh")
    assert status == 0
    lines = as_it_looks(seen).splitlines()
    job_id = lines[0].split()[1]
    assert re.fullmatch(rf"offload: {job_id} sent \(1 file, \d+ bytes new\)", lines[0])
    assert lines[1:3] == ["one", "half line"]
    assert lines[3] == "offload: came home (2 bytes): 1 new file: made.txt"
    assert re.search(rf"{job_id} slow.sh  running \d+s  1 CPU", seen)


def test_who_asks_for_quiet_gets_what_the_script_prints_and_what_needs_attention(shell):
    shell.write("slow.sh", "echo one; sleep 1.2; echo x > made.txt; exit $1\n")
    assert on_a_terminal(shell, "run", "-q", "slow.sh", "0") == (0, "one\n")
    status, seen = on_a_terminal(shell, "run", "--quiet", "slow.sh", "3")
    assert status == 3
    assert re.match(r"one\noffload: \w+ failed: The script ended with exit status 3\.", as_it_looks(seen))


def test_the_lines_of_an_array_begin_with_their_task(shell):
    words = ("run", "--cpus", "0.25", "--array", "1-3", "--", "sh", "-c", "echo task $OFFLOAD_TASK")
    status, seen = on_a_terminal(shell, *words)
    assert status == 0
    lines = as_it_looks(seen).splitlines()
    assert sorted(lines[1:4]) == [f"[{index}] task {index}" for index in (1, 2, 3)]


def test_stdout_in_a_pipe_holds_the_scripts_bytes_only(shell):
    reader, writer = os.pipe()
    try:
        status, seen = on_a_terminal(shell, "run", "--", "sh", "-c", "echo hello", stdout=writer)
        os.close(writer)
        assert (status, os.read(reader, 4096)) == (0, b"hello\n")
    finally:
        os.close(reader)
    assert "sent (" in seen


def test_tables_have_colours(shell):
    shell.text("run", "-d", "--", "true")
    status, seen = on_a_terminal(shell, "jobs")
    assert status == 0
    assert "\x1b[1mid" in seen
    assert on_a_terminal(shell, "jobs", "--json")[1].startswith('{"jobs":')


def test_long_values_are_cut_so_that_a_row_fits_but_not_in_a_pipe(shell):
    long = "v" * 300
    shell.write("fit.sh", 'echo "error: $(printf %0200d 0)" >&2; exit 1\n')
    shell.offload("run", "--grid", f"v={long}", "--grid", "n=1:2", "fit.sh")
    job = json.loads(shell.text("jobs", "--json"))["jobs"][0]["id"]
    for command, said, count in (("table", "vvv…", 2), ("status", "vvv…", 2), ("failures", "000…", 1)):
        _, seen = on_a_terminal(shell, command, job)
        rows = [line for line in as_it_looks(seen).splitlines() if said in line]
        assert len(rows) == count, command
        assert max(map(len, rows)) <= 100
        assert "…" not in shell.text(command, job)
    assert long in shell.text("table", job)
    assert long in shell.text("status", job)
