"""The examples of the pages do what the pages say, on a real launcher with the local cluster."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pages import ROOT, Command, File, expected, pages, steps, with_ids
from docs.terminal import TerminalSession

_PAGES = [page for page in pages() if any(isinstance(step, Command) for step in steps(page))]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[TerminalSession]:
    """A shell in an empty directory beside a copy of ``examples/``, with an Offload of its own."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(ROOT / "examples", here / "examples")
    bin_directory = os.path.dirname(sys.executable)
    environ = {
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OFFLOAD_HOME": str(tmp_path / "offload"),
        "TERM": "dumb",
        "COLUMNS": "160",
        "LANG": "C.UTF-8",
    }
    opened = TerminalSession(here, environ)
    yield opened
    opened.type("offload launcher stop --force")
    opened.close()


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_example_of_the_page_shows_what_the_page_says(page: Path, session: TerminalSession) -> None:
    ids: dict[str, str] = {}
    for step in steps(page):
        if isinstance(step, File):
            (Path(session.type("pwd").strip()) / step.name).write_text(step.text)
            continue
        shown = "".join(f"{line.rstrip()}\n" for line in session.type(with_ids(step.text, ids)).splitlines())
        match = expected(step.shows, ids).fullmatch(shown)
        assert match, (
            f"{page.relative_to(ROOT)}:{step.line}: {step.text}\n"
            f"--- the page says\n{chr(10).join(step.shows)}\n--- but it shows\n{shown}"
        )
        ids |= match.groupdict()
