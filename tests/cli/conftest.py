"""A shell with the real command, against a launcher of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.shell import Shell, a_shell


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with a_shell(tmp_path) as opened:
        yield opened
