from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from offload.errors import SettingsError
from offload.runner.config import Config, read_config
from offload.runner.environment import THREAD_COUNTS, task_environment
from offload.wire.runner_protocol import Lease, Welcome

WELCOME = Welcome(
    job="k7m2q9x", tasks=20, command=("true",), directory="sub", snapshot="sha256:0", cpus=2.5,
    memory=1 << 30, gpus=1, time_limit=None, grace=1.0, env={}, stdin=None, poll=20.0, lease_ttl=60.0,
)  # fmt: skip
LEASE = Lease(token="t", task=7, attempt=2, expires=0.0)
CONFIG = Config(
    runner="k7m2q9x-0-3",
    launcher="unix:/x",
    token="secret",
    directory=Path("/run/r"),
    checkpoints=Path("/keep"),
)


NOW = 1.8e9


def environment(base=None, welcome=WELCOME, config=CONFIG):
    return task_environment(
        base or {}, config, welcome, LEASE, cwd=Path("/w/sub"), result=Path("/w/result"), now=NOW
    )


def test_a_task_sees_what_the_architecture_page_promises():
    env = environment()
    assert env == {
        "OFFLOAD_JOB": "k7m2q9x",
        "OFFLOAD_TASK": "7",
        "OFFLOAD_TASKS": "20",
        "OFFLOAD_ATTEMPT": "2",
        "OFFLOAD_CPUS": "2.5",
        "OFFLOAD_MEMORY": str(1 << 30),
        "OFFLOAD_GPUS": "1",
        "OFFLOAD_RESULT": "/w/result",
        "OFFLOAD_CHECKPOINT": "/keep/7",
        "OFFLOAD_ATTEMPT_OF": "k7m2q9x-0-3",
        "PYTHONUNBUFFERED": "1",
        "PWD": "/w/sub",
        **dict.fromkeys(THREAD_COUNTS, "3"),
    }


def test_the_runners_own_variables_do_not_reach_a_task():
    base = {"OFFLOAD_TOKEN_FILE": "/t", "OFFLOAD_LAUNCHER": "unix:/x", "OFFLOAD_TOKEN": "s", "LANG": "C"}
    env = environment(base)
    assert "secret" not in env.values()
    assert not {"OFFLOAD_TOKEN_FILE", "OFFLOAD_LAUNCHER", "OFFLOAD_TOKEN", "OFFLOAD_RUNNER"} & env.keys()
    assert env["LANG"] == "C"


def test_what_the_person_sets_wins_over_the_cluster_but_not_over_offload():
    welcome = replace(WELCOME, env={"LANG": "de_DE.UTF-8", "OMP_NUM_THREADS": "9", "OFFLOAD_JOB": "mine"})
    env = environment({"LANG": "C", "MC_CORES": "4", "PYTHONUNBUFFERED": ""}, welcome)
    assert env["LANG"] == "de_DE.UTF-8"
    assert env["OMP_NUM_THREADS"] == "9"
    assert env["MC_CORES"] == "4"
    assert env["PYTHONUNBUFFERED"] == ""
    assert env["OFFLOAD_JOB"] == "k7m2q9x"


def test_without_a_memory_limit_there_is_no_variable():
    assert "OFFLOAD_MEMORY" not in environment(welcome=replace(WELCOME, memory=None))


def test_the_end_of_the_time_is_told_where_there_is_a_limit():
    assert "OFFLOAD_DEADLINE" not in environment()
    assert environment(welcome=replace(WELCOME, time_limit=90.5))["OFFLOAD_DEADLINE"] == "1800000090"


def test_gpus_are_shown_only_where_the_backend_assigns_them():
    assert "CUDA_VISIBLE_DEVICES" not in environment()
    assert environment(config=replace(CONFIG, gpus_visible="1,3"))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert environment(config=replace(CONFIG, gpus_visible=""))["CUDA_VISIBLE_DEVICES"] == ""


def test_all_missing_settings_are_named_at_once():
    with pytest.raises(SettingsError) as caught:
        read_config({"OFFLOAD_RUNNER": "r"})
    for name in ("OFFLOAD_LAUNCHER", "OFFLOAD_TOKEN_FILE", "OFFLOAD_RUNNER_DIR"):
        assert name in caught.value.sentence


def test_the_token_comes_from_a_file_and_is_not_shown(tmp_path):
    token = tmp_path / "token"
    token.touch(stat.S_IRUSR | stat.S_IWUSR)
    token.write_text("abc\n")
    env = {"OFFLOAD_RUNNER": "r", "OFFLOAD_LAUNCHER": "unix:/x", "OFFLOAD_RUNNER_DIR": str(tmp_path)}
    config = read_config({**env, "OFFLOAD_TOKEN_FILE": str(token)})
    assert config.token == "abc"
    assert "abc" not in repr(config)
    with pytest.raises(SettingsError, match="can't read its token"):
        read_config({**env, "OFFLOAD_TOKEN_FILE": str(tmp_path / "absent")})


def test_only_what_the_backend_names_of_its_own_variables_is_inherited():
    base = {"HOME": "/home/ada", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "7", "OFFLOAD_X": "1"}
    env = environment(base, config=replace(CONFIG, inherited=frozenset({"HOME", "PATH", "OFFLOAD_X"})))
    assert env["HOME"] == "/home/ada"
    assert not {"TZ", "PATH", "OFFLOAD_X"} & env.keys()
    assert env["OMP_NUM_THREADS"] == "3"
