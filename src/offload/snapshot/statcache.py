"""What the last snapshot of a directory learned: digests by path, and the manifest that the launcher got.

One file for each, below the cache directory, named by the root's path. They may vanish, be damaged or be
from another version at any time: whatever isn't proved by its own checksum counts as nothing known. A
digest is used again only for the same fingerprint, and kept only when the file was settled
(:mod:`~offload.snapshot.fingerprint`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final, Self

import msgspec

from offload.model.manifest import HEADER, digest_of
from offload.snapshot.fingerprint import Fingerprint, settled
from offload.snapshot.walk import Node

_MAGIC: Final = b"offload-stats 2\n"
_Known = dict[bytes, tuple[Fingerprint, str]]


class StatCache:
    """Digests of files by path and fingerprint."""

    def __init__(self, place: Path, known: _Known) -> None:
        self._place = place
        self._known = known

    @classmethod
    def load(cls, directory: Path, root: bytes) -> Self:
        """What is known about ``root``."""
        place = directory / "snapshots" / hashlib.sha256(root).hexdigest()[:32]
        return cls(place, _known(_read(place.with_suffix(".stats"))))

    def digest(self, node: Node) -> str | None:
        """The digest of a file's content, if it is known."""
        fingerprint, digest = self._known.get(node.path, (None, ""))
        return digest if fingerprint == node.fingerprint else None

    def learn(self, node: Node, digest: str, read_ns: int) -> None:
        """Remember the digest of a file that was read at ``read_ns``."""
        if settled(node.fingerprint, read_ns):
            self._known[node.path] = (node.fingerprint, digest)
        else:
            self._known.pop(node.path, None)

    def base(self) -> tuple[str, bytes] | None:
        """Digest and bytes of the last manifest that the launcher got."""
        data = _read(self._place.with_suffix(".manifest"))
        return (digest_of(data), data) if data.startswith(HEADER) else None

    def save(self, nodes: tuple[Node, ...]) -> None:
        """Keep what is known about these files, for the next time."""
        paths = (node.path for node in nodes)
        payload = msgspec.msgpack.encode({path: self._known[path] for path in paths if path in self._known})
        self._write(".stats", _MAGIC + hashlib.sha256(payload).digest() + payload)

    def save_base(self, data: bytes) -> None:
        """Keep the manifest that the launcher got."""
        self._write(".manifest", data)

    def _write(self, suffix: str, data: bytes) -> None:
        # A cache that can't be written, on a full disk for example, only costs time later.
        temporary = self._place.with_suffix(f"{suffix}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                temporary.replace(self._place.with_suffix(suffix))
            finally:
                temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _known(data: bytes) -> _Known:
    start = len(_MAGIC) + hashlib.sha256().digest_size
    payload = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(payload).digest():
        return {}
    try:
        return msgspec.msgpack.decode(payload, type=_Known)
    except msgspec.DecodeError:
        return {}
