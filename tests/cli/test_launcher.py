"""The launcher of this machine: started when needed, once, and told about when it can't be."""

import json
import os
import signal
import stat

from offload.wire.api import LauncherView
from offload.wire.codec import decode


def test_none_runs_until_one_is_needed(shell):
    assert "No launcher runs" in shell.text("launcher", "status")
    assert shell.text("launcher", "status", "--json") == "null\n"
    assert "No launcher runs" in shell.text("launcher", "stop")
    assert not shell.home.exists()


def test_simultaneous_first_commands_start_one_launcher(shell):
    commands = [shell.start("launcher", "start") for _ in range(4)]
    said = [command.communicate(timeout=60) for command in commands]
    assert [command.returncode for command in commands] == [0] * 4, said
    assert len({out for out, _ in said}) == 1


def test_its_socket_and_directories_are_for_its_owner_alone(shell):
    shell.text("launcher", "start")
    assert stat.S_IMODE(shell.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((shell.home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((shell.home / "run" / "launcher.sock").stat().st_mode) == 0o600


def test_it_lives_in_a_session_of_its_own_and_holds_no_directory_of_the_person(shell):
    shell.text("launcher", "start")
    pid = decode(shell.text("launcher", "status", "--json"), LauncherView).pid
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_script_named_like_a_library_does_not_become_part_of_it(shell):
    for name in ("json.py", "uvicorn.py", "offload.py"):
        shell.write(name, "raise SystemExit('wrong module')\n")
    shell.text("launcher", "start")


def test_stop_ends_it_and_the_next_command_starts_another(shell):
    first = decode(run_status(shell), LauncherView)
    assert "has ended" in shell.text("launcher", "stop")
    second = decode(run_status(shell), LauncherView)
    assert first.pid != second.pid


def run_status(shell) -> str:
    shell.text("launcher", "start")
    return shell.text("launcher", "status", "--json")


def test_stop_is_refused_while_a_job_is_unfinished_unless_forced(shell):
    job_id = shell.text("run", "-d", "--", "sleep", "60").strip()
    done = shell.offload("launcher", "stop")
    assert done.returncode == 125
    assert b"--force" in done.stderr
    shell.text("launcher", "stop", "--force")
    job = json.loads(shell.text("jobs", "--json"))["jobs"][0]
    assert (job["id"], job["state"] in ("pending", "running")) == (job_id, True)


def test_a_launcher_that_is_just_ending_is_waited_for(shell):
    pid = decode(run_status(shell), LauncherView).pid
    os.kill(pid, signal.SIGTERM)
    assert shell.offload("jobs").returncode == 0
    assert decode(shell.text("launcher", "status", "--json"), LauncherView).pid != pid


def test_one_that_cannot_start_is_an_error_with_the_end_of_its_log(shell):
    (shell.home / "store.sqlite").mkdir(parents=True)
    done = shell.offload("jobs")
    (shell.home / "store.sqlite").rmdir()
    text = done.stderr.decode()
    assert done.returncode == 125
    assert text.startswith("offload: error: The launcher ended right after its start. The end of its log:\n")
    assert str(shell.home / "launcher.log") in text


def test_a_runtime_directory_that_others_can_enter_is_refused(shell):
    (shell.home / "run").mkdir(parents=True)
    (shell.home / "run").chmod(0o755)
    done = shell.offload("jobs")
    (shell.home / "run").chmod(0o700)
    assert done.returncode == 125
    assert b"chmod 700" in done.stderr


def test_a_launcher_elsewhere_is_never_started(shell):
    environ = {**shell.environ, "OFFLOAD_LAUNCHER": "http://127.0.0.1:1"}
    done = shell.offload("jobs", env=environ)
    assert done.returncode == 125
    assert b"http://127.0.0.1:1 doesn't answer" in done.stderr
    assert not shell.home.exists()
