"""What a job was asked for, and who asked."""

import pytest

from offload.client.directives import Directive
from offload.client.keys import KEYS, VARYING
from offload.client.settings import COMMAND_LINE, Settings, merge
from offload.errors import UsageError
from offload.model.array import parse_array
from offload.model.grid import parse_axis
from offload.model.warning import EarlyWarning, WarningSignal


def test_nothing_asked_gives_the_defaults():
    assert merge([], [], {}) == Settings()


def test_the_command_line_wins_over_a_directive_and_origins_are_told():
    settings = merge(
        [Directive(2, "cpus", "4"), Directive(3, "memory", "8Gi")], [("cpus", "2")], {}, script="fit.R"
    )
    assert (settings.cpus, settings.memory) == (2.0, 8 << 30)
    assert settings.origins == {"cpus": COMMAND_LINE, "memory": "line 3 of fit.R"}


def test_every_key_can_be_a_directive():
    texts = {
        "cpus": "0.5", "memory": "1Gi", "gpus": "2", "time": "2h", "grace": "0", "retries": "1",
        "max-running": "5",
        "memory-growth": "2",
        "fail-fast": "3", "keep-going": "no",
        "warn": "INT@5m",
        "env": "A=1", "name": "n", "on": "local", "stdin": "in.txt", "size-limit": "1GB",
        "image": "rocker/r-ver:4.4", "profile": "gpu", "mount": "data:/data", "queue": "night",
            "test-preemption": "30s",
        "results": "out/{task}",
    }  # fmt: skip
    assert texts.keys() | set(VARYING) == KEYS.keys()
    settings = merge([Directive(1, key, text) for key, text in texts.items()], [], {})
    assert settings == Settings(
        cpus=0.5, memory=1 << 30, gpus=2, time=7200.0, grace=0.0, retries=1, results="out/{task}",
        max_running=5,
        memory_growth=2.0,
        fail_fast=3,
        warn=EarlyWarning(before=300.0, signal=WarningSignal.INT),
        env={"A": "1"}, name="n", on="local", stdin="in.txt", size_limit=10**9, origins=settings.origins,
        image="rocker/r-ver:4.4", profile="gpu", mounts=("data:/data",), queue="night", test_preemption=30.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("array", "1-3", parse_array("1-3")),
        ("grid", "lr=1,2", (parse_axis("lr=1,2"),)),
        ("params", "runs.csv", "runs.csv"),
        ("over", "data/*.csv", ("data/*.csv",)),
    ],
)
def test_every_key_that_says_the_tasks_can_be_a_directive(key, text, value):
    assert getattr(merge([Directive(1, key, text)], [], {}), key) == value


def test_variables_of_both_are_joined_and_one_without_value_comes_from_the_session():
    settings = merge(
        [Directive(1, "env", "A=1"), Directive(1, "env", "B=1")], [("env", "B=2"), ("env", "C")], {"C": "3"}
    )
    assert settings.env == {"A": "1", "B": "2", "C": "3"}
    assert settings.origins["env.A"] == "line 1 of the script"
    assert settings.origins["env.B"] == COMMAND_LINE


def test_mounts_of_both_are_joined_and_the_command_line_says_where_one_appears():
    settings = merge(
        [Directive(1, "mount", "data"), Directive(1, "mount", "scratch:/tmp/s")],
        [("mount", "data:/d"), ("mount", "models")],
        {},
    )
    assert settings.mounts == ("data:/d", "scratch:/tmp/s", "models")
    assert settings.origins["mount.scratch"] == "line 1 of the script"
    assert settings.origins["mount.data"] == COMMAND_LINE


def test_all_mistakes_are_told_at_once_with_where_they_are():
    with pytest.raises(UsageError) as caught:
        merge(
            [Directive(4, "cpu", "4"), Directive(5, "", "gpus"), Directive(6, "memory", "lots")],
            [
                ("gpus", "-1"),
                ("memory-growth", "0.5"),
                ("array", "1-x"),
                ("env", "1A=2"),
                ("env", "MISSING"),
                ("env", "OFFLOAD_X=1"),
                ("mount", "data:here"),
            ],
            {},
            script="fit.R",
        )
    sentence = caught.value.sentence
    for part in (
        "Line 4 of fit.R: 'cpu' can't be asked for",
        "Line 5 of fit.R: 'gpus' is not of the form key=value",
        "Line 6 of fit.R: 'lots' is not an amount of memory",
        "--gpus: '-1' is not a whole number",
        "--memory-growth: '0.5' is not a factor by which memory grows",
        "--array: The array range is not valid",
        "--env: '1A' is not the name of a variable",
        "--env: MISSING is not set here",
        "--env: OFFLOAD_X is set by Offload itself",
        "--mount: 'data:here' is not a mount",
    ):
        assert part in sentence
    assert "A directive can set: cpus, memory, memory-growth, gpus," in caught.value.next_step


@pytest.mark.parametrize("key", [key for key in KEYS if KEYS[key].metavar])
def test_text_that_is_no_utf_8_is_refused_whatever_asks_for_it(key):
    with pytest.raises(UsageError) as caught:
        merge([], [(key, "a=\udcff,b")], {})
    assert caught.value.sentence == f"--{key}: 'a=\\udcff,b' isn't UTF-8 text."


def test_a_variable_of_the_session_that_is_no_utf_8_is_refused():
    with pytest.raises(UsageError, match=r"--env: '\\udcff' isn't UTF-8 text"):
        merge([], [("env", "A")], {"A": "\udcff"})


def test_an_empty_text_where_a_file_should_be_may_be_a_pattern_that_matched_nothing():
    with pytest.raises(UsageError) as caught:
        merge([], [("over", "")], {})
    assert caught.value.sentence == "--over: It names no file. Has a pattern or a variable given nothing?"
    assert "--over 'data/*.csv' -- clean.R" in caught.value.next_step


def test_what_must_be_one_line_is_shown_with_its_lines():
    with pytest.raises(UsageError) as caught:
        merge([], [("over", "a.csv"), ("over", "b\nc.csv")], {})
    assert caught.value.sentence == r"--over: 'b\nc.csv' must be one line."


VARIANTS = {"array": "1-3", "grid": "lr=1,2", "params": "runs.csv", "over": "a.csv"}


@pytest.mark.parametrize("ours", VARIANTS)
@pytest.mark.parametrize("theirs", VARIANTS)
def test_what_the_command_line_says_of_the_tasks_replaces_what_the_script_says(ours, theirs):
    said = [Directive(1, theirs, VARIANTS[theirs])]
    settings = merge(said, [(ours, VARIANTS[ours])], {})
    assert settings == merge([], [(ours, VARIANTS[ours])], {})
    with pytest.raises(UsageError, match=r"Line 1 of the script: '\\udcff' isn't UTF-8 text"):
        merge([Directive(1, theirs, "\udcff")], [(ours, VARIANTS[ours])], {})


@pytest.mark.parametrize(("key", "most"), [("max-running", 1000), ("fail-fast", 1_000_000)])
def test_a_number_of_tasks_is_refused_only_where_the_launcher_would_refuse_it(key, most):
    assert getattr(merge([], [(key, str(most))], {}), key.replace("-", "_")) == most
    for text in ("0", str(most + 1)):
        with pytest.raises(UsageError) as caught:
            merge([], [(key, text)], {})
        assert f"--{key}: {text} can't be a number of tasks" in caught.value.sentence
        assert caught.value.next_step == f"Write 1 to {most:,}."


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("True", True), ("no", False), ("false", False)])
def test_whether_to_keep_going_is_said_with_yes_or_no(text, value):
    assert merge([Directive(1, "keep-going", text)], [], {}).keep_going is value
    assert merge([Directive(1, "", "keep-going")], [("keep-going", text)], {}).keep_going is value
    with pytest.raises(UsageError, match="neither yes nor no"):
        merge([], [("keep-going", "maybe")], {})


def test_keep_going_alone_is_a_directive_and_another_word_is_none():
    settings = merge([Directive(4, "", "keep-going")], [], {}, script="fit.R")
    assert (settings.keep_going, settings.origins) == (True, {"keep-going": "line 4 of fit.R"})
    with pytest.raises(UsageError, match="'cpus' is not of the form key=value"):
        merge([Directive(4, "", "cpus")], [], {})


def test_a_job_can_not_both_fail_fast_and_keep_going():
    with pytest.raises(UsageError) as caught:
        merge([Directive(2, "fail-fast", "3")], [("keep-going", "yes")], {}, script="fit.R")
    assert caught.value.sentence.startswith(
        "fail-fast in line 2 of fit.R and --keep-going can't go together: "
    )
    assert merge([Directive(2, "fail-fast", "3")], [("keep-going", "no")], {}).fail_fast == 3
