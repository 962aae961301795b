"""``offload run`` against the real launcher: as if the script had run here."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.shell import COMMAND
from offload.wire.api import JobView
from offload.wire.codec import convert, decode

BYTES = bytes(range(256)) * 3 + b"no newline at the end"


@pytest.fixture
def shell(guest):
    return guest


def gate(shell) -> tuple[str, Path]:
    """A shell command that waits, and the file whose appearing ends the wait."""
    path = shell.here.parent / "go"
    return f"while [ ! -e '{path}' ]; do sleep 0.02; done", path


def job_of(shell) -> JobView:
    """The newest job."""
    return convert(json.loads(shell.text("jobs", "--json"))["jobs"][0], JobView)


def test_output_goes_to_its_own_stream_unchanged_and_files_come_home(shell):
    shell.write(
        "fit.py",
        "import sys, pathlib\n"
        f"sys.stdout.buffer.write({BYTES!r})\n"
        f"sys.stderr.buffer.write({BYTES[::-1]!r})\n"
        "pathlib.Path('table.csv').write_text(pathlib.Path('data.csv').read_text().upper())\n",
    )
    shell.write("data.csv", "a,b\n")
    done = shell.offload("run", "fit.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, BYTES, BYTES[::-1])
    assert (shell.here / "table.csv").read_text() == "A,B\n"


def test_an_r_script_gets_its_arguments(shell):
    shell.write("fit.R", "cat(commandArgs(TRUE), sep='|')\nwriteLines('made', 'out.txt')\n")
    done = shell.offload("run", "fit.R", "--rounds", "500", "a b", "--json")
    assert (done.returncode, done.stdout) == (0, b"--rounds|500|a b|--json"), done.stderr
    assert (shell.here / "out.txt").read_text() == "made\n"


def test_a_command_runs_after_two_dashes(shell):
    done = shell.offload("run", "--", "sh", "-c", "echo $0 $1; pwd -P | tail -c 5", "x", "--help")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, b"x --help")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", 128 + signal.SIGUSR1),
    ],
)
def test_the_exit_status_is_the_scripts_and_a_failure_says_why_and_where_to_look(shell, code, status):
    shell.write("bad.py", code)
    done = shell.offload("run", "bad.py")
    assert (done.returncode, done.stdout) == (status, b"")
    job = job_of(shell)
    assert f"offload: {job.id} failed: {job.reason.sentence}" in done.stderr.decode()
    assert f"offload why {job.id}" in done.stderr.decode()


def test_a_time_limit_ends_the_script_with_124(shell):
    done = shell.offload("run", "--time", "1s", "--grace", "1s", "--", "sleep", "60")
    assert done.returncode == 124
    assert b"time" in done.stderr


def test_standard_input_is_empty_or_the_file_that_was_named(shell):
    shell.write("in.txt", "from a file\n")
    assert shell.offload("run", "--", "cat").stdout == b""
    assert shell.offload("run", "--stdin", "in.txt", "--", "cat").stdout == b"from a file\n"
    missing = shell.offload("run", "--stdin", "none.txt", "--", "cat")
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert b"--stdin: none.txt can't be read" in missing.stderr


def test_a_file_edited_at_home_meanwhile_is_kept_and_the_result_lies_beside_it(shell):
    shell.write("note.txt", "before\n")
    wait, go = gate(shell)
    shell.write("slow.sh", f"echo started; {wait}; echo theirs > note.txt; echo new > made.txt\n")
    with shell.start("run", "slow.sh") as process:
        assert process.stdout.readline() == b"started\n"
        shell.write("note.txt", "mine\n")
        go.touch()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    job = job_of(shell)
    assert (shell.here / "note.txt").read_text() == "mine\n"
    beside = [path for path in shell.here.iterdir() if job.id in path.name]
    assert [path.read_text() for path in beside] == ["theirs\n"]
    assert f"kept your note.txt, which changed meanwhile; the job's is {beside[0].name}" in err.decode()
    assert (shell.here / "made.txt").read_text() == "new\n"


def test_directives_set_defaults_and_show_tells_where_each_value_came_from(alone):
    alone.write("fit.R", "# offload: cpus=0.5 memory=300Mi name=study\n")
    shown = alone.text("run", "--cpus", "0.25", "--env", "A=b c", "--show", "fit.R", "x")
    rows = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert rows["command"].endswith("command line")
    assert "Rscript fit.R x" in rows["command"]
    assert "0.25 CPUs" in rows["cpus"]
    assert rows["cpus"].endswith("command line")
    assert rows["memory"].endswith("line 1 of fit.R")
    assert rows["name"].endswith("line 1 of fit.R")
    assert rows["gpus"].endswith("default")
    assert "b c" in rows["env A"]
    assert json.loads(alone.text("jobs", "--json"))["jobs"] == []


def test_show_as_json_has_the_spec_and_the_origins(shell):
    shell.write("fit.R", "# offload: cpus=0.5\n")
    shown = json.loads(shell.text("run", "--show", "--json", "fit.R"))
    assert shown["spec"]["command"] == ["Rscript", "fit.R"]
    assert shown["origins"] == {"cpus": "line 1 of fit.R"}


def test_an_array_runs_every_index_in_whole_lines_and_keeps_results_apart(shell):
    shell.write(
        "sim.sh",
        'printf "task $OFFLOAD_TASK "; sleep 0.2; echo "of $OFFLOAD_TASKS"; echo $OFFLOAD_TASK > out.txt\n',
    )
    done = shell.offload("run", "--cpus", "0.25", "--array", "1-4", "sim.sh")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [b"task %d of 4" % index for index in range(1, 5)]
    results = shell.here / "results" / job_of(shell).id
    assert {path.name: (path / "out.txt").read_text() for path in results.iterdir() if path.is_dir()} == {
        str(index): f"{index}\n" for index in range(1, 5)
    }
    again = shell.offload("run", "--", "find", "results", "-type", "f")
    assert again.stdout == b""


def test_an_array_exits_with_the_status_of_its_first_failed_task(shell):
    shell.write("sim.sh", "exit $((OFFLOAD_TASK - 1))\n")
    done = shell.offload("run", "--cpus", "0.25", "--array", "1-3", "sim.sh")
    assert done.returncode == 1
    job = job_of(shell)
    assert (job.counts.succeeded, job.counts.failed) == (1, 2)
    why = shell.text("why", job.id)
    assert "2 of 3 tasks did. Task 2:" in why


def test_ctrl_c_cancels_and_still_brings_home_what_was_made(shell):
    shell.write(
        "slow.py",
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    pathlib.Path('saved.txt').write_text('saved')\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready')\n"
        "time.sleep(60)\n",
    )
    with shell.start("run", "slow.py") as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    job = job_of(shell)
    assert process.returncode == 130
    assert job.state == "cancelled"
    assert f"cancelling {job.id}; press Ctrl-C again to leave at once" in err.decode()
    assert (shell.here / "saved.txt").read_text() == "saved"


def test_a_second_ctrl_c_leaves_at_once_and_says_how_to_collect(shell):
    shell.write("stubborn.sh", "trap 'echo asked' TERM\necho ready\nwhile :; do sleep 0.1; done\n")
    with shell.start("run", "--grace", "4s", "stubborn.sh") as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"asked\n"
        left = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert time.monotonic() - left < 2
    assert process.returncode == 130
    job = job_of(shell)
    assert f"What it made: offload collect {job.id}" in err.decode()
    assert shell.offload("wait", job.id).returncode == 130


@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_whatever_else_ends_the_client_the_job_goes_on_and_can_be_followed_again(shell, ending):
    wait, go = gate(shell)
    shell.write("slow.sh", f"echo first; {wait}; echo last; echo made > made.txt\n")
    with shell.start("run", "slow.sh") as process:
        assert process.stdout.readline() == b"first\n"
        process.send_signal(ending)
        process.communicate(timeout=10)
    assert process.returncode == -ending
    job = job_of(shell)
    assert job.state == "running"
    go.touch()
    assert shell.text("logs", "-f", job.id) == "first\nlast\n"
    assert not (shell.here / "made.txt").exists()
    assert "1 new file: made.txt" in shell.text("collect", job.id)
    assert (shell.here / "made.txt").read_text() == "made\n"


def test_output_that_nobody_reads_any_more_ends_the_client_quietly(shell):
    shell.write("many.sh", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done\n")
    with shell.start("run", "many.sh") as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, err) == (141, b"")


def test_a_files_name_cannot_steer_the_terminal(shell):
    shell.write("paint.py", r"open('a\x1b[31mb', 'w')")
    assert shell.offload("run", "paint.py").returncode == 0
    again = shell.offload("collect", job_of(shell).id, "--to", "there")
    assert (again.returncode, again.stderr) == (0, b"")
    assert again.stdout == b"came home (0 bytes): 1 new file: a\\x1b[31mb\n"


def a_full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def a_terminal_that_is_gone() -> int:
    master, slave = pty.openpty()
    os.close(master)
    return slave


@pytest.mark.parametrize(
    ("device", "words"),
    [(a_full_disk, "No space left on device"), (a_terminal_that_is_gone, "Input/output error")],
)
def test_output_that_cannot_be_written_is_told_and_what_the_job_made_comes_home(shell, device, words):
    shell.write("w.sh", "echo task $OFFLOAD_TASK; echo x > made.txt\n")
    stdout = device()
    done = shell.offload("run", "--cpus", "0.25", "--array", "1-3", "w.sh", stdout=stdout)
    os.close(stdout)
    job = job_of(shell)
    assert (done.returncode, done.stderr.decode().splitlines()) == (
        125,
        [
            f"offload: error: The output can't be written: {words}.",
            f"  {job.id} is waited for nevertheless. All that it prints: offload logs {job.id}",
        ],
    )
    assert job.state == "succeeded"
    assert len([*shell.here.glob(f"results/{job.id}/*/made.txt")]) == 3


def test_a_script_that_fails_keeps_its_status_when_its_output_cannot_be_written(shell):
    with open("/dev/full", "wb") as stdout:
        done = shell.offload("run", "--", "sh", "-c", "echo x; exit 3", stdout=stdout)
    assert done.returncode == 3
    assert f"offload: {job_of(shell).id} failed" in done.stderr.decode()


def test_where_nobody_can_be_told_the_exit_status_still_is_the_jobs(shell):
    with open("/dev/full", "wb") as stderr:
        done = shell.offload("run", "--", "sh", "-c", "echo out; touch made; exit 3", stderr=stderr)
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert (shell.here / "made").exists()


def test_other_commands_tell_that_their_output_cannot_be_written(shell):
    job_id = shell.text("run", "-d", "--array", "1-2", "--", "echo", "x").strip()
    shell.text("wait", job_id)
    lists = (("jobs",), ("jobs", "--json"), ("logs", job_id), ("table", job_id), ("table", job_id, "--csv"))
    with open("/dev/full", "wb") as stdout:
        for words in lists:
            done = shell.offload(*words, stdout=stdout)
            assert done.returncode == 125
            assert b"The output can't be written: No space left on device." in done.stderr
        for words in (("run", "-d", "--", "true"), ("rerun", job_id, "--json")):
            done = shell.offload(*words, stdout=stdout)
            assert done.returncode == 125
            assert f"Look at it: offload status {job_of(shell).id}" in done.stderr.decode()


def closing(shell, streams: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose streams are closed as a shell does it."""
    line = ["sh", "-c", f'exec "$0" "$@" {streams}', COMMAND, *words]
    return subprocess.run(line, cwd=shell.here, env=shell.environ, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("streams", "out", "err"),
    [
        ("<&-", b"hello\n", b"oops\n"),
        (">&-", b"", b"oops\n"),
        ("2>&-", b"hello\n", b""),
        ("<&- >&- 2>&-", b"", b""),
    ],
)
def test_a_stream_that_is_closed_is_one_that_nobody_wants(shell, streams, out, err):
    shell.write("job.sh", "echo hello; echo oops >&2; echo made > made.txt")
    done = closing(shell, streams, "run", "job.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, out, err)
    assert (shell.here / "made.txt").read_text() == "made\n"


@pytest.mark.parametrize("words", [("run", "-d", "--", "true"), ("jobs",), ("jobs", "--json"), ("--help",)])
def test_what_a_command_says_to_a_closed_stream_is_no_mistake(shell, words):
    done = closing(shell, ">&-", *words)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_mistake_keeps_its_status_where_nobody_hears_of_it(shell):
    assert closing(shell, ">&- 2>&-", "run", "nothing.R").returncode == 2


def test_detached_the_id_is_printed_and_nothing_else(shell):
    shell.write("job.sh", "echo hello; echo made > made.txt")
    done = shell.offload("run", "-d", "--name", "nightly", "job.sh")
    job_id = done.stdout.decode().strip()
    assert (done.returncode, done.stderr) == (0, b"")
    assert shell.offload("wait", job_id).returncode == 0
    assert shell.text("logs", job_id) == "hello\n"
    job = decode(shell.text("wait", "--json", job_id), JobView)
    assert (job.id, job.spec.name, job.state) == (job_id, "nightly", "succeeded")


def test_the_command_starts_in_the_same_place_below_the_root(shell):
    shell.write("lib/helper.txt", "help\n")
    shell.write("src/run.sh", "cat ../lib/helper.txt; echo out > here.txt\n")
    done = shell.offload("run", "--root", "..", "run.sh", cwd=shell.here / "src")
    assert (done.returncode, done.stdout) == (0, b"help\n"), done.stderr
    assert (shell.here / "src" / "here.txt").exists()


def test_variables_of_the_session_and_those_named_are_seen_by_the_script(shell):
    environ = {**shell.environ, "R_LIBS": "/my/libs", "SECRET": "no", "TOKEN": "yes"}
    words = ("run", "--env", "TOKEN", "--env", "A=1 2", "--", "sh", "-c", "echo $R_LIBS,$TOKEN,$A")
    assert shell.offload(*words, env=environ).stdout == b"/my/libs,yes,1 2\n"


def test_a_script_that_is_ignored_is_refused_before_anything_runs(shell):
    shell.write("drafts/a.sh", "echo hi\n")
    shell.write(".offloadignore", "drafts/\n")
    done = shell.offload("run", "drafts/a.sh")
    assert done.returncode == 2
    assert b"offload explain drafts/a.sh" in done.stderr
    assert "not sent" in shell.text("explain", "drafts/a.sh")


def test_data_of_offload_inside_the_directory_stays_out_of_it(alone):
    alone.environ["OFFLOAD_HOME"] = str(alone.here / "state")
    done = alone.offload("run", "--", "sh", "-c", "ls -A; touch made")
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert sorted(path.name for path in alone.here.iterdir()) == ["made", "state"]
    assert "state/store.sqlite: not sent: built-in rule: Offload" in alone.text(
        "explain", "state/store.sqlite"
    )
    assert alone.offload("run", "--", "true", cwd=alone.here / "state").returncode == 2


def test_a_directory_beyond_the_size_limit_is_refused(shell):
    shell.write("big.bin", "x" * 200_000)
    done = shell.offload("run", "--size-limit", "100k", "--", "true")
    assert done.returncode == 2
    assert b"big.bin" in done.stderr
    assert shell.offload("run", "--size-limit", "1M", "--", "true").returncode == 0
    done = shell.offload("run", "--size-limit", "lots", "--", "true")
    assert (done.returncode, b"'lots' is not a size" in done.stderr) == (2, True)


def test_more_than_the_cluster_has_is_refused_with_what_fits(shell):
    done = shell.offload("run", "--cpus", "9999", "--", "true")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"CPU" in done.stderr


def test_an_unknown_cluster_lists_the_right_ones(shell):
    done = shell.offload("run", "--on", "moon", "--", "true")
    assert done.returncode == 2
    assert b"Choose one with --on: local." in done.stderr


def test_a_missing_interpreter_is_named(shell):
    done = shell.offload("run", "--", "no-such-interpreter", "x.z")
    assert done.returncode == 127
    assert b"no-such-interpreter" in done.stderr


def test_a_command_that_can_not_be_executed_is_126_as_in_a_shell(shell):
    shell.write("plain.txt", "no program\n")
    done = shell.offload("run", "--", "./plain.txt")
    assert done.returncode == 126
    assert b"it is not marked as executable" in done.stderr


def test_following_survives_the_death_of_the_launcher(alone):
    wait, go = gate(alone)
    alone.write("slow.sh", f"echo first; {wait}; echo last\n")
    with alone.start("run", "slow.sh") as process:
        assert process.stdout.readline() == b"first\n"
        pid = json.loads(alone.text("launcher", "status", "--json"))["pid"]
        os.kill(pid, signal.SIGKILL)
        go.touch()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"last\n", b"")


def test_two_clients_may_collect_at_once(shell):
    shell.write("make.sh", "for i in $(seq 50); do echo $i > file$i; done\n")
    job_id = shell.text("run", "-d", "make.sh").strip()
    assert shell.offload("wait", job_id).returncode == 0
    target = shell.here / "copy"
    target.mkdir()
    both = [shell.start("collect", job_id, "--to", str(target)) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert {path.name for path in target.iterdir()} == {f"file{index}" for index in range(1, 51)}


def test_nothing_is_left_in_the_directory_but_results(shell):
    shell.write("a.sh", "echo x > made.txt\n")
    shell.offload("run", "a.sh")
    assert {path.name for path in shell.here.iterdir()} == {"a.sh", "made.txt"}


def test_from_python_a_job_is_an_object(shell):
    shell.write("a.sh", "echo hello; echo x > made.txt\n")
    code = (
        "import offload\n"
        "job = offload.run('a.sh', cpus=0.5, env={'A': '1'})\n"
        "assert job.wait().state == 'succeeded'\n"
        "assert b''.join(frame.data for frame in job.logs()) == b'hello\\n'\n"
        "assert [item.report.new for item in job.collect()] == [[b'made.txt']]\n"
        "try:\n"
        "    offload.run('a.sh', cpu=1)\n"
        "except offload.OffloadError as error:\n"
        "    assert error.code == 'usage', error\n"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=shell.here, env=shell.environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
