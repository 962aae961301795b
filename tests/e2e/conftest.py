"""A person with the real command, a real launcher and real runners, all below a directory of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.person import Person, at_work


@pytest.fixture
def person(tmp_path) -> Iterator[Person]:
    with at_work(tmp_path) as opened:
        yield opened
