"""The launcher of this machine: started when needed, once, and told about when it can't be."""

import json
import os
import signal
import stat

from offload.wire.api import LauncherView
from offload.wire.codec import decode


def test_none_runs_until_one_is_needed(person):
    assert "No launcher runs" in person.text("launcher", "status")
    assert person.text("launcher", "status", "--json") == "null\n"
    assert "No launcher runs" in person.text("launcher", "stop")
    assert not person.home.exists()


def test_simultaneous_first_commands_start_one_launcher(person):
    commands = [person.start("launcher", "start") for _ in range(4)]
    said = [command.communicate(timeout=60) for command in commands]
    assert [command.returncode for command in commands] == [0] * 4, said
    assert len({out for out, _ in said}) == 1


def test_its_socket_and_directory_are_for_its_owner_alone(person):
    person.text("launcher", "start")
    assert stat.S_IMODE((person.home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((person.home / "run" / "launcher.sock").stat().st_mode) == 0o600


def test_it_lives_in_a_session_of_its_own_and_holds_no_directory_of_the_person(person):
    person.text("launcher", "start")
    pid = decode(person.text("launcher", "status", "--json"), LauncherView).pid
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_script_named_like_a_library_does_not_become_part_of_it(person):
    for name in ("json.py", "uvicorn.py", "offload.py"):
        person.write(name, "raise SystemExit('wrong module')\n")
    person.text("launcher", "start")


def test_stop_ends_it_and_the_next_command_starts_another(person):
    first = decode(run_status(person), LauncherView)
    assert "has ended" in person.text("launcher", "stop")
    second = decode(run_status(person), LauncherView)
    assert first.pid != second.pid


def run_status(person) -> str:
    person.text("launcher", "start")
    return person.text("launcher", "status", "--json")


def test_stop_is_refused_while_a_job_is_unfinished_unless_forced(person):
    job_id = person.text("run", "-d", "--", "sleep", "60").strip()
    done = person.offload("launcher", "stop")
    assert done.returncode == 125
    assert b"--force" in done.stderr
    person.text("launcher", "stop", "--force")
    job = json.loads(person.text("jobs", "--json"))["jobs"][0]
    assert (job["id"], job["state"] in ("pending", "running")) == (job_id, True)


def test_a_launcher_that_is_just_ending_is_waited_for(person):
    pid = decode(run_status(person), LauncherView).pid
    os.kill(pid, signal.SIGTERM)
    assert person.offload("jobs").returncode == 0
    assert decode(person.text("launcher", "status", "--json"), LauncherView).pid != pid


def test_one_that_cannot_start_is_an_error_with_the_end_of_its_log(person):
    (person.home / "store.sqlite").mkdir(parents=True)
    done = person.offload("jobs")
    (person.home / "store.sqlite").rmdir()
    text = done.stderr.decode()
    assert done.returncode == 125
    assert text.startswith("offload: error: The launcher ended right after its start. The end of its log:\n")
    assert str(person.home / "launcher.log") in text


def test_a_runtime_directory_that_others_can_enter_is_refused(person):
    (person.home / "run").mkdir(parents=True)
    (person.home / "run").chmod(0o755)
    done = person.offload("jobs")
    (person.home / "run").chmod(0o700)
    assert done.returncode == 125
    assert b"chmod 700" in done.stderr


def test_a_launcher_elsewhere_is_never_started(person):
    environ = {**person.environ, "OFFLOAD_LAUNCHER": "http://127.0.0.1:1"}
    done = person.offload("jobs", env=environ)
    assert done.returncode == 125
    assert b"http://127.0.0.1:1 doesn't answer" in done.stderr
    assert not person.home.exists()
