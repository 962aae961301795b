"""Whose store this is.

A store names blobs and logs that lie in the data directory of one launcher. Another launcher with other data
would miss them, and give away tasks that the first one runs. So the first one writes its identity into the
store, and a launcher with another identity is refused, whether the first one runs or not.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from offload.errors import StoreError
from offload.store.manifests import insert_missing
from offload.store.schema import owner


def claim(connection: Connection, identity: str, place: str) -> None:
    """Make the store that of a launcher; it stays so for ever.

    Args:
        connection: to the store.
        identity: of the launcher's data directory, wherever that is moved.
        place: where that directory is now, for people.

    Raises:
        StoreError: it is another launcher's.
    """
    insert_missing(connection, owner, [{"number": 1, "identity": identity, "place": place}])
    known = connection.execute(select(owner)).one()
    if known.identity != identity:
        raise StoreError(
            f"The store belongs to the launcher whose data is in {known.place}; this one's is in {place}.",
            next_step=(
                "Start it with that data directory, or give it a store of its own (`store` in config.toml)."
                " If that directory is lost with its files, empty the store's table `owner`."
            ),
        )
    if known.place != place:
        connection.execute(update(owner).values(place=place))
