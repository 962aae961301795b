"""Fixtures that every kind of test shares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from fakes.postgres import postgres_server
from offload.store.engine import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


_databases = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path) -> str:
    """The address of an empty store, once on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    server = request.getfixturevalue("postgres")
    name = f"test{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()
