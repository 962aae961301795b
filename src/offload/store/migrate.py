"""Bringing a store's schema to this version.

An empty store gets the schema that the code describes, one of an older version gets it by alembic's
migrations; tests hold the two together. So alembic, which costs 12 MB for as long as the launcher lives, is
imported only by the first start after an upgrade.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import OperationalError

from offload.errors import StoreError
from offload.store.schema import metadata

HEAD: Final = "0001"
"""The newest revision in ``migrations/versions``; a test holds the two together."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def current_revision(engine: Engine) -> str | None:
    """The revision of the schema that is there; None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine) -> None:
    """Migrate to :data:`HEAD`; nothing to do is the usual case.

    Raises:
        StoreError: the database can't be opened, or is of a newer version of Offload.
    """
    try:
        revision = current_revision(engine)
    except OperationalError as error:
        raise StoreError(
            f"The store can't be opened: {error.orig}",
            next_step="Check that its directory is writable, or that the database server answers.",
        ) from error
    if revision == HEAD:
        return
    if revision is None:
        _create(engine)
        return
    if revision > HEAD:
        raise StoreError(
            f"The store has schema {revision}, but this version of Offload knows {HEAD}.",
            next_step="Upgrade Offload; an older version can't read a newer store.",
        )
    migrate(engine)


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        metadata.create_all(connection)
        # As alembic makes it.
        connection.execute(
            text(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def migrate(engine: Engine) -> None:
    """Run alembic's migrations up to :data:`HEAD`, from whatever is there."""
    from alembic import command  # noqa: PLC0415  see the module's story
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
