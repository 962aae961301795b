"""A shell with the real command, against a launcher of its own or one that has other guests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.person import wait_until
from fakes.shell import Shell, a_shell
from offload.wire.api import JobPage
from offload.wire.codec import decode
from offload.wire.http import Connection
from offload.wire.places import find_places


@pytest.fixture
def alone(tmp_path) -> Iterator[Shell]:
    """A shell with a launcher of its own, for a test that ends launchers or counts what they know."""
    with a_shell(tmp_path) as opened:
        yield opened


@pytest.fixture
def shell(alone) -> Shell:
    """What tests of a module use; a module may say that ``guest`` will do."""
    return alone


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Shell]:
    """A shell whose launcher serves all tests of a module."""
    with a_shell(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


@pytest.fixture
def guest(shared, tmp_path) -> Iterator[Shell]:
    """A shell in a directory of its own, with the launcher of others; its jobs end with the test."""
    here = tmp_path / "work"
    here.mkdir()
    yield Shell(here, shared.environ)
    places = find_places(shared.environ)
    if places.socket.exists():
        with Connection(places.address) as connection:
            for job in unfinished(connection):
                connection.request("POST", f"/v1/jobs/{job}/cancel").read()
            wait_until(lambda: not unfinished(connection), what="the end of the test's jobs")


def unfinished(connection: Connection) -> list[str]:
    """Ids of jobs that have not ended."""
    page = decode(connection.request("GET", "/v1/jobs").read(), JobPage)
    return [job.id for job in page.jobs if not job.state.is_terminal]
