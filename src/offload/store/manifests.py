"""Manifests, the blobs that they name, and who needs them.

References are rows, not counters: writing one twice changes nothing, so a repeated step after a crash can't
make a count wrong. What no row refers to, and nobody asked about for a while, is garbage.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, insert, select, text, update

from offload.errors import BlobMissingError
from offload.model.manifest import Manifest
from offload.store.schema import manifest_blobs, manifests, references

_EACH: Final = {"sqlite": "json_each(:blobs)", "postgresql": "json_array_elements_text(CAST(:blobs AS json))"}
_NEED: Final = (
    "INSERT INTO manifest_blobs (manifest, blob) SELECT :manifest, value FROM {each} WHERE true"
    " ON CONFLICT DO NOTHING"
)


def insert_missing(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    """Insert rows that aren't there yet; both engines spell it alike in their own dialect."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  not paid for on SQLite

        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
    else:
        connection.execute(insert(table).prefix_with("OR IGNORE"), rows)


def put(connection: Connection, digest: str, data: bytes, manifest: Manifest, now: float) -> None:
    """Keep a manifest, and remember which blobs it needs; the caller has seen that they are there."""
    insert_missing(connection, manifests, [{"digest": digest, "data": data, "touched": now}])
    # One value for all rows: binding thousands of them one by one takes longer than writing them.
    need = text(_NEED.format(each=_EACH[connection.dialect.name]))
    connection.execute(need, {"manifest": digest, "blobs": json.dumps(sorted(manifest.blobs()))})


def get(connection: Connection, digest: str) -> bytes:
    """Canonical bytes of a manifest.

    Raises:
        BlobMissingError: it isn't there.
    """
    data = connection.execute(select(manifests.c.data).where(manifests.c.digest == digest)).scalar()
    if data is None:
        raise BlobMissingError(f"There is no manifest {digest}.", details={"digests": [digest]})
    return bytes(data)


def touch(connection: Connection, digest: str, now: float) -> bool:
    """Whether a manifest is there; if so it is spared by garbage collection for a while."""
    found = update(manifests).where(manifests.c.digest == digest).values(touched=now)
    return connection.execute(found).rowcount == 1


def blobs_of(connection: Connection, digest: str) -> list[str]:
    """The blobs that a manifest names."""
    return list(
        connection.execute(select(manifest_blobs.c.blob).where(manifest_blobs.c.manifest == digest)).scalars()
    )


def refer(connection: Connection, job: str, *digests: str) -> None:
    """Note that a job needs manifests (or lone blobs)."""
    insert_missing(connection, references, [{"job": job, "digest": digest} for digest in set(digests)])


def forget_results(connection: Connection, job: str, *, limit: int) -> int:
    """Drop references of a job, its snapshot's too, ``limit`` at most; how many."""
    some = select(references.c.digest).where(references.c.job == job).limit(limit)
    gone = delete(references).where(references.c.job == job, references.c.digest.in_(some))
    return connection.execute(gone).rowcount


def drop_unreferenced(connection: Connection, before: float) -> int:
    """Delete manifests that no job refers to and that weren't touched since ``before``; how many."""
    needed = exists().where(references.c.digest == manifests.c.digest)
    gone = delete(manifests).where(~needed, manifests.c.touched < before)
    return connection.execute(gone).rowcount


def needed_blobs(connection: Connection, digests: list[str]) -> set[str]:
    """Which of these blobs a manifest or a job needs."""
    by_manifest = select(manifest_blobs.c.blob).where(manifest_blobs.c.blob.in_(digests))
    by_job = select(references.c.digest).where(references.c.digest.in_(digests))
    return set(connection.execute(by_manifest.union(by_job)).scalars())
