"""Help that a newcomer can act on, cheap to get, and the shape of mistakes."""

import json
import subprocess
import sys

import click
import pytest

from fakes.shell import COMMAND
from offload.cli.main import COMMANDS, offload

CONTEXT = click.Context(offload)


def every_command():
    for name in COMMANDS:
        command = offload.get_command(CONTEXT, name)
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", command.commands[below]) for below in command.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_first_line_of_the_commands_own_help(name):
    assert COMMANDS[name][1] == offload.get_command(CONTEXT, name).help.splitlines()[0]


@pytest.mark.parametrize(("name", "command"), [*every_command()])
def test_every_command_shows_an_example_of_itself(name, command):
    assert any(f"offload {name}" in line for line in command.examples)


@pytest.mark.parametrize(("name", "command"), [*every_command()])
def test_every_option_says_what_it_does(name, command):
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_list_of_commands_loads_none_of_them():
    code = "import sys, offload.cli.main as m; m.main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"msgspec", "http.client", "rich", "asyncio", "fastapi"} & set(done.stderr.split())


INTERRUPTED = """
import os, signal, sys

module = sys.argv.pop()


class Hand:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Hand())
from offload.cli.entry import run

sys.argv += ["explain", "x"]
run()
"""


@pytest.mark.parametrize("module", ["click", "offload.cli.failure", "offload.cli.explain"])
def test_ctrl_c_while_a_command_is_being_loaded_ends_it_in_silence(module):
    code = [sys.executable, "-c", INTERRUPTED, module]
    done = subprocess.run(code, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, b"", b"")


def test_without_a_command_the_help_is_shown_and_the_status_is_that_of_a_mistake(shell):
    done = shell.offload()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"offload run fit.R" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence", "step"),
    [
        (("job",), "No such command 'job'. Did you mean 'jobs'?", "See: offload --help"),
        (("jobs", "--stat", "x"), "No such option '--stat'. Did you mean '--state'?", "offload jobs --help"),
        (("jobs", "--state", "done"), "'paused', 'succeeded', 'failed', 'cancelled'", "See: offload jobs"),
        (("run", "--cpus", "many", "fit.R"), "--cpus: 'many' is not a number of CPUs.", "Write it like 4"),
        (("run", "--array", "3-1", "fit.R"), "this range is empty", "Write it like 1-20"),
        (("run", "nothing.R"), "There is no nothing.R here.", "offload run -- nothing.R"),
        (("run", "--stdin", "", "fit.R"), "--stdin: It must not be empty", ""),
        (("run", "--over", "--", "fit.R"), "--over names no file: what follows is --.", "'data/*.csv' --"),
        (("run", "--name", "-h", "fit.R"), "--name has no value: what follows is -h.", "See: offload run"),
        (("run", "--retries=-1", "fit.R"), "--retries: '-1' is not a whole number.", "Write it like 0"),
        (("run", "--time", "-5s", "fit.R"), "--time: '-5s' is not a duration.", "Write it like 90s"),
        (("run", "--array=-1", "--cpus=-2", "fit.R"), "--cpus: '-2' is not a number of CPUs.", "0.5 or 500m"),
        (("run", "--name", "\udcff", "fit.R"), r"--name: '\udcff' isn't UTF-8 text.", "let a script make"),
        (("status", "\udcff"), r"ID: '\udcff' isn't UTF-8 text.", "See: offload status -h"),
        (("clusters", "show", "\udcff"), r"NAME: '\udcff' isn't UTF-8 text.", "See: offload clusters show"),
        (("table", "x", "--where", "a", "--where", "\udcff"), r"--where: '\udcff' isn't", "offload table -h"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence_and_a_next_step_on_stderr_with_status_2(shell, words, sentence, step):
    shell.write("fit.R", "")
    done = shell.offload(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    lines = done.stderr.decode()
    assert lines.startswith("offload: error: ")
    assert sentence in lines
    assert step in lines
    assert "\x1b" not in lines


def test_with_json_an_error_is_json_too(shell):
    done = shell.offload("run", "--json", "fit.R")
    assert done.returncode == 2
    assert json.loads(done.stderr)["code"] == "usage"


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell, kind):
    assert "_OFFLOAD_COMPLETE" in shell.text("completion", kind)


def test_commands_complete_without_a_launcher(shell):
    environ = {
        **shell.environ,
        "_OFFLOAD_COMPLETE": "bash_complete",
        "COMP_WORDS": "offload c",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, check=True, cwd=shell.here)
    assert done.stdout.split() == [
        f"plain,{name}" for name in ("collect", "cancel", "clusters", "completion")
    ]
    assert not shell.home.exists()


def test_version_is_printed(shell):
    assert shell.text("--version") == shell.text("version")
    assert shell.text("version").startswith("offload ")
