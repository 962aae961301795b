"""Tables as they lie with the launcher: parts of about 256 KiB, named by a manifest.

A part is JSON lines, one list of texts a row. Its path in the manifest is the position of its first row, so
a row is found by a look at the sorted paths and one part is fetched for it, however large the table is.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from offload.errors import BlobMissingError, ProtocolError
from offload.model.blobs import Blob
from offload.model.manifest import Entry, Kind, Manifest, decode_manifest, digest_of
from offload.wire.encoding import decoded

PART: Final = 256 << 10
"""Bytes after which a part ends."""
_KEPT: Final = 4
_encode: Final = msgspec.json.encode


def parts_of(rows: Iterable[Sequence[str]]) -> Iterator[tuple[Entry, bytes]]:
    """The parts of a table, one after the other: the manifest's line and the content."""
    first, lines, size = 0, list[bytes](), 0
    for position, row in enumerate(rows):
        line = _encode(row)
        lines.append(line)
        size += len(line) + 1
        if size >= PART:
            yield _part(first, lines)
            first, lines, size = position + 1, [], 0
    if lines:
        yield _part(first, lines)


def _part(first: int, lines: list[bytes]) -> tuple[Entry, bytes]:
    data = b"\n".join([*lines, b""])
    return Entry(b"%012d" % first, Kind.FILE, 0o644, len(data), digest_of(data)), data


class TableReader:
    """Reads rows in any order; for one thread.

    Args:
        manifest: canonical bytes of the table's manifest.
        fetch: gives blobs by digest.
    """

    def __init__(self, manifest: bytes, fetch: Callable[[Sequence[str]], Iterator[Blob]]) -> None:
        self._parts = decode_manifest(manifest).entries
        self._firsts = [int(entry.path) for entry in self._parts]
        self._fetch = fetch
        self._kept: OrderedDict[str, list[list[str]]] = OrderedDict()

    def row(self, position: int) -> list[str]:
        """The row at a position from 0.

        Raises:
            BlobMissingError: its part isn't there (any more).
            ProtocolError: the table has no such row.
        """
        number = bisect.bisect_right(self._firsts, position) - 1
        rows = self._rows(self._parts[number]) if number >= 0 else []
        at = position - self._firsts[number] if number >= 0 else 0
        if at >= len(rows):
            raise ProtocolError(f"The table of parameters has no row {position + 1}.")
        return rows[at]

    def _rows(self, part: Entry) -> list[list[str]]:
        if part.digest not in self._kept:
            self._kept[part.digest] = self._read(part.digest)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(part.digest)
        return self._kept[part.digest]

    def _read(self, digest: str) -> list[list[str]]:
        for blob in self._fetch([digest]):
            data = b"".join(decoded(blob))
            return [msgspec.json.decode(line, type=list[str]) for line in data.splitlines()]
        raise BlobMissingError(
            "A part of the table of parameters isn't there.", details={"digests": [digest]}
        )


def manifest_of(entries: Iterable[Entry]) -> bytes:
    """Canonical bytes of the manifest that names a table's parts."""
    return Manifest.of(entries).encode()
