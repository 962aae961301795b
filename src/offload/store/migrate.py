"""Bringing a store's schema to this version.

An empty store gets the schema that the code describes, one of an older version gets it by alembic's
migrations; tests hold the two together. So alembic, which costs 12 MB for as long as the launcher lives, is
imported only by the first start after an upgrade. It all happens in one transaction, and two launchers that
open a store at once do it one after the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError

from offload.errors import StoreError
from offload.store.schema import metadata

HEAD: Final = "0007"
"""The newest revision in ``migrations/versions``; a test holds the two together."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_TURN: Final = 0x0FF10AD
"""PostgreSQL's name for the lock on changing the schema; SQLite has one writer anyway."""


def upgrade(engine: Engine) -> None:
    """Migrate to :data:`HEAD`; nothing to do is the usual case.

    Raises:
        StoreError: the database can't be opened, or is of a newer version of Offload.
    """
    try:
        with engine.begin() as connection:
            _upgrade(connection)
    except OperationalError as error:
        raise StoreError(
            f"The store can't be opened: {error.orig}",
            next_step="Check that its directory is writable, or that the database server answers.",
        ) from error


def _upgrade(connection: Connection) -> None:
    _wait_for_turn(connection)
    revision = _revision(connection)
    if revision is None:
        _create(connection)
    elif revision > HEAD:
        raise StoreError(
            f"The store has schema {revision}, but this version of Offload knows {HEAD}.",
            next_step="Upgrade Offload; an older version can't read a newer store.",
        )
    elif revision < HEAD:
        _migrate(connection, HEAD)


def _wait_for_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def _revision(connection: Connection) -> str | None:
    """The revision of the schema that is there; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # As alembic makes it.
    connection.execute(
        text(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def migrate(engine: Engine, revision: str = HEAD) -> None:
    """Run alembic's migrations up to ``revision``, from whatever is there."""
    with engine.begin() as connection:
        _migrate(connection, revision)


def _migrate(connection: Connection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415  see the module's story
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
