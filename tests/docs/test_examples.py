"""The examples of the pages do what the pages say, on a real launcher with the local cluster."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pages import PORT, ROOT, Command, File, expected, pages, steps, with_ids
from docs.terminal import TerminalSession

_PAGES = [page for page in pages() if any(isinstance(step, Command) for step in steps(page))]


@pytest.fixture
def session(tmp_path: Path, page: Path) -> Iterator[TerminalSession]:
    """A shell in an empty directory, with an Offload of its own; the README's has ``examples/``."""
    here = tmp_path / "here"
    here.mkdir()
    if page.parent == ROOT:
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


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_example_of_the_page_shows_what_the_page_says(page: Path, session: TerminalSession) -> None:
    ids: dict[str, str] = {}
    port = _free_port()
    for step in steps(page):
        if isinstance(step, File):
            (Path(session.type("pwd").strip()) / step.name).write_text(step.text)
            continue
        typed = with_ids(step.text, ids).replace(PORT, port)
        shown = "".join(f"{line.rstrip()}\n" for line in session.type(typed).splitlines()).replace(port, PORT)
        match = expected(step.shows, ids).fullmatch(shown)
        assert match, (
            f"{page.relative_to(ROOT)}:{step.line}: {step.text}\n"
            f"--- the page says\n{chr(10).join(step.shows)}\n--- but it shows\n{shown}"
        )
        ids |= match.groupdict()
