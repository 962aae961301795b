"""Where each small blob is: a SQLite database beside the packs, see :mod:`~offload.store.packed`."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offload.model.blobs import Codec

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blobs (
    digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL,
    codec INTEGER NOT NULL, wanted REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_of_pack ON blobs (pack);
"""
_FIND: Final = "SELECT pack, at, size, codec, wanted FROM blobs WHERE digest = ?"
_SOME: Final = (
    "SELECT digest, pack, at, size, codec, wanted FROM blobs WHERE digest > ? ORDER BY digest LIMIT 500"
)
_SPARSE: Final = """
SELECT number, COALESCE(SUM(blobs.size + ?), 0) AS needed FROM packs LEFT JOIN blobs ON pack = number
GROUP BY number HAVING 2 * needed < packs.size ORDER BY needed
"""
_AT_ONCE: Final = 500
"""Blobs that are asked for in one statement."""

Place = tuple[str, int, int, Codec]
"""Digest of a blob, its first byte in the pack, its size and codec as it is stored."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where a blob is, and when it was last wanted, in seconds since 1970."""

    digest: str
    pack: int
    at: int
    size: int
    codec: Codec
    wanted: float


class PackIndex:
    """Knows packs by their numbers, and the blobs in them. An index that can't be read is made anew, empty.

    Every method may raise ``OSError``: the disk is full, or can't be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = _open(path)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()

    def packs(self) -> set[int]:
        """Numbers of the packs that are indexed."""
        return {number for (number,) in self._do("SELECT number FROM packs")}

    def find(self, digest: str) -> Packed | None:
        """Where a blob is; None when it is in no pack."""
        for pack, at, size, codec, wanted in self._do(_FIND, _key(digest)):
            return Packed(digest, pack, at, size, Codec(codec), wanted)
        return None

    def known(self, digests: Iterable[str]) -> dict[str, float]:
        """When those of these blobs that are in packs were last wanted."""
        keys, found = [_key(digest) for digest in digests], {}
        for at in range(0, len(keys), _AT_ONCE):
            some = keys[at : at + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._do(f"SELECT digest, wanted FROM blobs WHERE digest IN ({marks})", *some)  # noqa: S608
            found.update({_digest(key): wanted for key, wanted in rows})
        return found

    def want(self, digests: Iterable[str], now: float) -> None:
        """Note when these were last wanted."""
        rows = [(now, _key(digest)) for digest in digests]
        with self._changes() as connection:
            connection.executemany("UPDATE blobs SET wanted = ? WHERE digest = ?", rows)

    def drop(self, digest: str) -> None:
        """Forget a blob."""
        self._do("DELETE FROM blobs WHERE digest = ?", _key(digest))

    def delete(self, digest: str, *, unwanted_since: float) -> bool:
        """Forget a blob unless it was wanted after ``unwanted_since``; says whether it did."""
        unwanted = "DELETE FROM blobs WHERE digest = ? AND wanted <= ? RETURNING 1"
        return bool(self._do(unwanted, _key(digest), unwanted_since))

    def __iter__(self) -> Iterator[Packed]:
        """Every blob, some at a time; others may come and go meanwhile."""
        after = b""
        while rows := self._do(_SOME, after):
            for key, pack, at, size, codec, wanted in rows:
                yield Packed(_digest(key), pack, at, size, Codec(codec), wanted)
            after = rows[-1][0]

    def learn(self, pack: int, size: int, blobs: Iterable[Place], now: float) -> None:
        """A new pack of so many bytes; what it holds is taken from it from now on, and wanted now."""
        rows = [(_key(digest), pack, at, length, codec, now) for digest, at, length, codec in blobs]
        with self._changes() as connection:
            connection.execute("INSERT OR REPLACE INTO packs VALUES (?, ?)", (pack, size))
            connection.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?)", rows)

    def sparse(self, head: int) -> list[tuple[int, int]]:
        """Packs of which less than half is needed, the least needed first, and how many bytes of each are.

        ``head``: bytes that a blob needs beside its own.
        """
        return self._do(_SPARSE, head)

    def of_pack(self, pack: int) -> list[Place]:
        """What of a pack is needed, in its order."""
        rows = self._do("SELECT digest, at, size, codec FROM blobs WHERE pack = ? ORDER BY at", pack)
        return [(_digest(key), at, size, Codec(codec)) for key, at, size, codec in rows]

    def move(self, old: int, new: int, size: int, blobs: Sequence[Place]) -> None:
        """What a pack held is in a new one of so many bytes; what was deleted meanwhile stays deleted."""
        rows = [(new, at, _key(digest), old) for digest, at, _, _ in blobs]
        with self._changes() as connection:
            connection.execute("INSERT INTO packs VALUES (?, ?)", (new, size))
            connection.executemany("UPDATE blobs SET pack = ?, at = ? WHERE digest = ? AND pack = ?", rows)

    def forget(self, pack: int) -> None:
        """A pack is gone, with all that is still in it."""
        with self._changes() as connection:
            connection.execute("DELETE FROM blobs WHERE pack = ?", (pack,))
            connection.execute("DELETE FROM packs WHERE number = ?", (pack,))

    def _do(self, statement: str, *values: object) -> list[Any]:
        with self._changes() as connection:
            return connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        """One transaction; what SQLite says about the disk is an ``OSError`` like any other."""
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.OperationalError as error:
            raise _disk_error(error, self._path) from error


def _open(path: str) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError:  # what is there is no database
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
        return _connect(path)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise _disk_error(error, path) from error
        raise
    return connection


def _disk_error(error: sqlite3.DatabaseError, path: str) -> OSError:
    is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return OSError(errno.ENOSPC if is_full else errno.EIO, str(error), path)


def _key(digest: str) -> bytes:
    return bytes.fromhex(digest[7:])


def _digest(key: bytes) -> str:
    return f"sha256:{key.hex()}"
