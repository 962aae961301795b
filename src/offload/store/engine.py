"""Where transactions come from: one code path for SQLite and PostgreSQL.

Every function of this package that takes a ``Connection`` is plain, synchronous SQL. ``Store.run`` executes
one such function in one transaction on a thread, so the event loop never waits for a disk and a transaction
never waits for the network.

SQLite has one writer at a time. A transaction that reads first and then writes under SQLite's default
``BEGIN`` fails with "database is locked" when two overlap, whatever the busy timeout; ``BEGIN IMMEDIATE``
queues them instead. One thread does all of it, since there is nothing to gain from a second. On PostgreSQL
it is one thread too: ids of events must become visible in their order, or a reader that resumes from one
misses another.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from offload.errors import DiskFullError, SettingsError, StoreError
from offload.store.migrate import upgrade

P = ParamSpec("P")
T = TypeVar("T")

_PRAGMAS: Final = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-4000",
)


class Store:
    """All that is remembered, behind transactions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="store")

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at an SQLAlchemy URL and bring its schema up to date.

        Raises:
            SettingsError: the URL isn't one of SQLite or PostgreSQL.
            StoreError: it can't be opened, or belongs to a newer version of Offload.
        """
        engine = make_engine(url)
        try:
            upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Execute ``work(connection, …)`` in one transaction and return what it returns.

        Raises:
            DiskFullError: there is no space left for the store.
            StoreError: the database doesn't answer.
        """
        call = functools.partial(self.run_now, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def run_now(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same as :meth:`run`, on this thread."""
        try:
            with self._engine.begin() as connection:
                return work(connection, *args, **kwargs)
        except OperationalError as error:
            raise _translate(error) from error

    def close(self) -> None:
        """Wait for what runs, and close every connection."""
        self._threads.shutdown()
        self._engine.dispose()


def make_engine(url: str) -> Engine:
    """An engine that follows the rules of this module.

    Raises:
        SettingsError: the URL isn't one of SQLite or PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url(url) from error
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    if parsed.get_backend_name() != "sqlite":
        raise _bad_url(url)
    engine = create_engine(parsed.set(drivername="sqlite"))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # this package says BEGIN itself
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _bad_url(url: str) -> SettingsError:
    return SettingsError(
        f"{url!r} is not the address of a store.",
        next_step="Write it like sqlite:////var/lib/offload/store.sqlite or postgresql://user@host/database.",
    )


def _translate(error: OperationalError) -> StoreError | DiskFullError:
    words = str(error.orig)
    if "disk is full" in words or "No space left" in words:
        return DiskFullError(
            "There is no space left for the launcher's store.",
            next_step="Free some space where the launcher keeps its data; it goes on by itself.",
        )
    return StoreError(f"The store doesn't answer: {words}")
