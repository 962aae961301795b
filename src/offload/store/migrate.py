"""Bringing a store's schema to this version, with alembic's migrations.

alembic is imported only when there is something to do: a launcher that starts on an up-to-date store pays
one SELECT instead of 12 MB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import OperationalError

from offload.errors import StoreError

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
    if revision is not None and revision > HEAD:
        raise StoreError(
            f"The store has schema {revision}, but this version of Offload knows {HEAD}.",
            next_step="Upgrade Offload; an older version can't read a newer store.",
        )
    _migrate(engine)


def _migrate(engine: Engine) -> None:
    from alembic import command  # noqa: PLC0415  see the module's story
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
