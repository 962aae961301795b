"""The reference is complete, and no page names a command, an option or a word that isn't there."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.pages import ROOT, blocks, pages
from offload.cli.main import offload
from offload.client.keys import KEYS
from offload.client.languages import LANGUAGES
from offload.errors import ERRORS, OWN_FAILURE, USAGE
from offload.model.reasons import ReasonCode
from offload.server.settings import SETTINGS

sys.path.insert(0, str(ROOT / "docs/_ext"))
from generate import PAGES, write_pages
from reference_pages import reasons, shapes
from reference_pages.api import openapi
from reference_pages.text import attributes

SYNONYMS = {
    r"workers?": "runner",
    r"daemons?": "launcher or runner",
    r"schedulers?": "launcher",
    r"controllers?": "launcher",
    r"workspaces?": "working directory",
    r"project (directory|folder)": "working directory",
    r"uploads?|uploaded|uploading": "send",
    r"downloads?|downloaded|downloading": "collect or play back",
    r"synchroni[sz]e\w*|sync": "send, or play back",
    r"job array": "array",
    r"sub-?jobs?|subtasks?": "task",
    r"return codes?|exit codes?": "exit status",
    r"artifacts?|artefacts?": "results",
    r"executors?": "backend or runner",
    r"head node|master": "launcher",
}
"""Words that the glossary has another one for. On the page "Why", peers may call their parts as they like."""


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("generated")
    write_pages(folder)
    return {name: (folder / name).read_text() for name in PAGES}


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), f"{path} {name}")


COMMANDS = dict(_commands(offload, "offload"))


def test_every_command_and_option_is_in_the_reference(generated) -> None:
    for path, command in COMMANDS.items():
        if path == "offload":
            continue
        section = generated["cli.md"].partition(f"## {path}\n")[2].partition("\n## ")[0]
        assert section, path
        for param in command.params:
            if isinstance(param, click.Option):
                assert all(option in section for option in param.opts), (path, param.opts)


def test_every_option_of_run_says_what_it_does() -> None:
    assert all(key.help for key in KEYS.values())


def test_every_error_has_an_entry_that_says_what_happened(generated) -> None:
    for code, cls in ERRORS.items():
        assert f"## `{code}`" in generated["errors.md"]
        assert cls.__doc__ != cls.__bases__[0].__doc__, code


def test_every_reason_has_a_meaning(generated) -> None:
    assert set(reasons.MEANINGS) == set(ReasonCode)
    assert all(f"`{code.value}`" in generated["reasons.md"] for code in ReasonCode)


def test_every_setting_is_documented_with_its_default(generated) -> None:
    for key, setting in SETTINGS.items():
        assert f"| `{key}` | `{setting.default}` |" in generated["settings.md"]
        assert setting.about


def test_every_field_of_the_json_is_described() -> None:
    told = {shape: attributes(shape.__doc__) for shape in shapes.SHAPES}
    plain = {"Array", "Counts", "Digests", "LauncherView", "JobPage", "TaskPage"}  # the summary says it
    missing = [
        f"{shape.__name__}.{field.name}"
        for shape in shapes.SHAPES
        if dataclasses.is_dataclass(shape) and shape.__name__ not in plain
        for field in dataclasses.fields(shape)
        if field.name not in told[shape]
    ]
    assert not missing


def test_every_call_of_the_http_api_is_in_the_reference_and_in_architecture(generated) -> None:
    architecture = (ROOT / "docs/explanation/architecture.md").read_text()
    for path, calls in openapi()["paths"].items():
        for method in calls:
            assert f"## `{method.upper()} {path}`" in generated["api.md"]
            short = re.sub(r"\{\w*job\w*\}", "{id}", path.removeprefix("/v1"))
            assert short in architecture, short


def test_every_variable_that_the_code_reads_is_documented() -> None:
    pages_text = "".join(page.read_text() for page in pages())
    code = "".join(path.read_text() for path in (ROOT / "src/offload").rglob("*.py"))
    used = set(re.findall(r"\bOFFLOAD_[A-Z_]*[A-Z]\b", code))
    assert sorted(name for name in used if name not in pages_text) == []


_CALL = re.compile(r"(?:^|[$(;&|] ?)(offload (?!\d)[^|;&)\"]*)")


def _command_lines() -> Iterator[tuple[str, list[str]]]:
    for page in pages():
        where = page.relative_to(ROOT).as_posix()
        shell = [block for block in blocks(page) if block.kind in ("sh", "console")]
        for line in (line.partition("  #")[0] for block in shell for line in block.lines):
            yield from ((where, _words(found[1])) for found in _CALL.finditer(line))
        for inline in re.findall(r"`(offload [^`]+)`", page.read_text()):
            yield where, _words(inline)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def test_no_page_names_a_command_or_option_that_is_not_there() -> None:
    for where, words in _command_lines():
        path, rest = ["offload"], words[1:]
        while rest and isinstance(COMMANDS[" ".join(path)], click.Group) and not rest[0].startswith("-"):
            path, rest = [*path, rest[0]], rest[1:]
            if path[-1] in ("COMMAND", "…"):
                break
            assert " ".join(path) in COMMANDS, f"{where}: {' '.join(words)}"
        command = COMMANDS.get(" ".join(path))
        if command is None:
            continue
        options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        for word in rest:
            if word == "--":
                break
            if word.startswith("-"):
                known = {*options, "--help", "-h"}
                assert word.partition("=")[0] in known, f"{where}: {' '.join(words)}"
            elif path == ["offload", "run"] and "." in word:
                break  # what follows a script is the script's own


def test_pages_use_the_words_of_the_glossary() -> None:
    found = []
    for page in pages():
        text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.read_text(), flags=re.DOTALL)
        if page.name == "why.md":
            text = text.partition("## Others")[0]
        for synonym, word in SYNONYMS.items():
            found += [
                f"{page.relative_to(ROOT)}: {match[0]!r}; the glossary says {word}"
                for match in re.finditer(rf"(?i)\b(?:{synonym})\b", text)
            ]
    assert not found


def test_the_page_of_exit_statuses_has_the_codes_numbers() -> None:
    text = (ROOT / "docs/reference/exit-status.md").read_text()
    assert f"| {USAGE} | a mistake" in text
    assert f"| {OWN_FAILURE} | Offload itself" in text


def test_the_table_of_languages_is_the_code_s() -> None:
    text = (ROOT / "docs/howto/send-a-script.md").read_text()
    table = text.partition("| suffix |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\.\w+)`", table)) == set(LANGUAGES)


def test_files_of_the_repository_that_pages_name_are_there() -> None:
    named = re.compile(r"`((?:src|tests|docs|scripts|examples|\.ci|\w+)/[\w./-]*)`")
    folders = {path.name for path in (ROOT / "src/offload").iterdir() if path.is_dir()} | {
        path.name for path in ROOT.iterdir() if path.is_dir()
    }
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages()
        for path in named.findall(page.read_text())
        if path.partition("/")[0] in folders
        and not any((root / path).exists() for root in (ROOT, ROOT / "src/offload", page.parent))
    ]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target and "generated/" not in target:
            assert (page.parent / target).exists(), target
