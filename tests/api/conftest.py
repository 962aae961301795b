"""A launcher for every test; ``any_service`` once on each store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.service import Service


@pytest.fixture
def service(tmp_path) -> Iterator[Service]:
    running = Service(tmp_path / "home")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def any_service(tmp_path, store_url) -> Iterator[Service]:
    running = Service(tmp_path / "home", store_url)
    running.start()
    yield running
    running.stop()
