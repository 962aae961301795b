"""The launcher of this machine: started when needed, once, and told about when it can't be."""

import json
import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

import offload
from offload.wire.api import LauncherView
from offload.wire.codec import decode
from offload.wire.version import VERSION


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


def test_one_that_cannot_start_for_its_settings_says_so_with_the_lines(shell):
    shell.home.mkdir(parents=True)
    settings = shell.home / "config.toml"
    settings.write_text(
        '[clusters.eks]\nbackend = "kubernetes"\nnamespacee = "a"\ncallback = "here"\n'
        '[clusters.desk]\nbackend = "local"\n\ncpus = "many"\n'
    )
    done = shell.offload("jobs")
    text = done.stderr.decode()
    assert done.returncode == 2
    assert "line 3: namespacee: there is no such setting" in text
    assert "line 4: callback:" in text
    assert "line 8: cpus: 'many' is not a number of CPUs" in text
    assert "Z error" not in text
    settings.write_text("")
    assert shell.offload("jobs").returncode == 0


def test_one_that_cannot_open_its_store_says_so(shell):
    (shell.home / "store.sqlite").mkdir(parents=True)
    done = shell.offload("jobs", "--json")
    (shell.home / "store.sqlite").rmdir()
    assert (done.returncode, json.loads(done.stderr)["code"]) == (125, "store")


def test_one_that_cannot_start_is_an_error_with_the_end_of_its_log(shell):
    shell.home.mkdir(parents=True)
    (shell.home / "clusters").write_text("")
    done = shell.offload("jobs")
    (shell.home / "clusters").unlink()
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


@pytest.fixture
def old_launcher(shell, tmp_path):
    """A running launcher of version 0.0.9: this one's code under another number."""
    source = Path(offload.__file__).parent
    shutil.copytree(source, tmp_path / "old" / "offload", ignore=shutil.ignore_patterns("__pycache__"))
    version = tmp_path / "old" / "offload" / "wire" / "version.py"
    version.write_text(version.read_text().replace(f'"{VERSION}"', '"0.0.9"'))
    environ = {**shell.environ, "PYTHONPATH": str(tmp_path / "old")}
    assert shell.offload("launcher", "start", env=environ).returncode == 0


def test_a_launcher_of_another_version_is_told_on_stderr_alone_until_it_is_restarted(shell, old_launcher):
    done = shell.offload("run", "--", "echo", "hi")
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert done.stderr.decode().count("launcher") == 2
    assert done.stderr.decode().startswith(
        f"offload: the launcher that runs is version 0.0.9, and this is {VERSION}; "
        "`offload launcher stop` ends it, and the next command starts the new one\n"
    )
    assert shell.offload("jobs", "--json").stderr == b""
    shell.text("launcher", "stop")
    assert b"version" not in shell.offload("jobs").stderr


def test_a_launcher_elsewhere_is_never_started(shell):
    environ = {**shell.environ, "OFFLOAD_LAUNCHER": "http://127.0.0.1:1"}
    done = shell.offload("jobs", env=environ)
    assert done.returncode == 125
    assert b"http://127.0.0.1:1 doesn't answer" in done.stderr
    assert not shell.home.exists()


def test_a_script_sees_its_own_session_whoever_started_the_launcher(shell):
    shell.environ |= {"MY_TOKEN": "first", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "7"}
    show = ("--cpus", "1", "--", "sh", "-c", 'echo "[$MY_TOKEN] [$TZ] [$OMP_NUM_THREADS]"')
    assert shell.text("run", *show) == "[] [Asia/Tokyo] [1]\n"
    for name in ("MY_TOKEN", "TZ", "OMP_NUM_THREADS"):
        del shell.environ[name]
    assert shell.text("run", *show) == "[] [] [1]\n"
    assert shell.text("run", "--env", "MY_TOKEN=mine", *show) == "[mine] [] [1]\n"
