"""From a script to the command that executes it."""

import pytest

from offload.client.languages import LANGUAGES, command_for
from offload.errors import UnknownLanguageError


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("fit.R", ("Rscript", "fit.R")),
        ("fit.r", ("Rscript", "fit.r")),
        ("fit.py", ("python3", "fit.py")),
        ("fit.sh", ("bash", "fit.sh")),
        ("fit.jl", ("julia", "fit.jl")),
        ("report.qmd", ("quarto", "render", "report.qmd")),
        ("report.Rmd", ("Rscript", "-e", "rmarkdown::render(commandArgs(TRUE)[1])", "report.Rmd")),
        ("-odd.py", ("python3", "./-odd.py")),
    ],
)
def test_a_suffix_names_its_interpreter(tmp_path, name, command):
    (tmp_path / name).touch()
    assert command_for(tmp_path / name, name) == command


def test_an_executable_script_with_a_shebang_runs_as_it_is(tmp_path):
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh\necho hi\n")
    script.chmod(0o755)
    assert command_for(script, "tool") == ("./tool",)
    assert command_for(script, "bin/tool") == ("bin/tool",)


def test_a_shebang_without_the_execute_bit_is_not_enough(tmp_path):
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    with pytest.raises(UnknownLanguageError):
        command_for(script, "tool")


def test_an_unknown_suffix_lists_the_known_ones_and_the_way_out(tmp_path):
    (tmp_path / "a.xyz").touch()
    with pytest.raises(UnknownLanguageError) as caught:
        command_for(tmp_path / "a.xyz", "a.xyz")
    assert all(suffix in caught.value.sentence for suffix in LANGUAGES)
    assert caught.value.next_step == "Say it yourself: offload run -- INTERPRETER a.xyz"
    assert caught.value.exit_status == 2
