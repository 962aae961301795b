"""Somebody who uses the real command, against a launcher of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.person import Person


@pytest.fixture
def person(tmp_path) -> Iterator[Person]:
    here = tmp_path / "here"
    here.mkdir()
    somebody = Person(here, tmp_path / "offload")
    yield somebody
    somebody.leave()
