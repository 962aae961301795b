"""A manifest: the sorted list of what a directory holds. Its own SHA-256 names it.

Canonical text, one entry a line after a version line, paths percent-encoded so that any bytes survive::

    offload-manifest 1
    d 755 0 - data
    f 644 1180 <64 hex digits> data/my%20file.csv
    l 777 0 - latest data/my%20file.csv

Entries are sorted by the bytes of their paths. Paths are relative, without ``.``, ``..`` or empty parts.
Modes are the nine permission bits. A directory is listed before what it holds (sorting sees to that), and
nothing lies below a file or a link, so whoever writes the entries down in order never writes through a link.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from offload.errors import ManifestInvalidError

HEADER: Final = b"offload-manifest 1\n"
MODE_BITS: Final = 0o777
_SAFE: Final = "/!#$&'()*+,:;=?@[]{}|^"
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_.~/!#$&'()*+,:;=?@\[\]{}|^-]*")
_OUTSIDE: Final = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Kind(StrEnum):
    """What an entry is."""

    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"


_KINDS: Final = {kind.value: kind for kind in Kind}
"""Asking the enumeration costs a fifth of reading a line."""


class Entry(NamedTuple):
    """One line of a manifest.

    Attributes:
        path: relative to the root, as the bytes that the file system gave.
        kind: file, directory or symbolic link.
        mode: permission bits, for example ``0o644``.
        size: bytes of a file, else 0.
        digest: ``sha256:`` + hex of a file's content, else empty.
        target: of a symbolic link, as bytes, else empty.
    """

    path: bytes
    kind: Kind
    mode: int = 0o644
    size: int = 0
    digest: str = ""
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Entries sorted by path."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """The manifest of these entries, sorted."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path)))

    def blobs(self) -> dict[str, int]:
        """Size of every blob it needs, by digest."""
        return {entry.digest: entry.size for entry in self.entries if entry.digest}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def encode(self) -> bytes:
        """The canonical bytes."""
        return HEADER + "".join(map(_line, self.entries)).encode("ascii")


def digest_of(data: bytes | memoryview) -> str:
    """``sha256:`` + hex of some bytes; the name of a blob and, over its canonical bytes, of a manifest."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether this is the name of a blob, so that it may become part of a path."""
    return _DIGEST.fullmatch(text) is not None


def parents(path: bytes) -> list[bytes]:
    """The directories above a path, the outermost first: ``a/b/c`` gives ``a`` and ``a/b``."""
    found, at = [], path.find(b"/")
    while at != -1:
        found.append(path[:at])
        at = path.find(b"/", at + 1)
    return found


def _line(entry: Entry) -> str:
    fields = f"{entry.kind} {entry.mode:o} {entry.size} {entry.digest[7:] or '-'} {_quote(entry.path)}"
    return f"{fields} {_quote(entry.target)}\n" if entry.kind is Kind.LINK else f"{fields}\n"


def _quote(raw: bytes) -> str:
    # Most paths need no escape, and asking a pattern costs a tenth of quoting.
    return raw.decode("ascii") if _PLAIN.fullmatch(raw) else quote_from_bytes(raw, safe=_SAFE)


def decode_manifest(data: bytes) -> Manifest:
    """Read canonical bytes back.

    Raises:
        ManifestInvalidError: anything that :meth:`Manifest.encode` would not have written.
    """
    if not data.startswith(HEADER):
        raise ManifestInvalidError("This is not a manifest of version 1.")
    try:
        lines = data[len(HEADER) :].decode("ascii").split("\n")
        manifest = Manifest(tuple(map(_entry, lines[:-1])))
    except (ValueError, KeyError) as error:
        raise ManifestInvalidError(f"The manifest is malformed: {error}") from error
    if manifest.encode() != data:
        raise ManifestInvalidError("The manifest is not in its canonical form.")
    _check_paths(manifest)
    return manifest


def _entry(line: str) -> Entry:
    kind, mode, size, digest, path, *target = line.split(" ")
    if len(target) != (kind == "l"):
        raise ValueError(f"wrong number of fields in {line!r}")
    return Entry(
        _unquote(path),
        _KINDS[kind],
        int(mode, 8),
        int(size),
        "" if digest == "-" else "sha256:" + digest,
        _unquote(target[0]) if target else b"",
    )


def _unquote(text: str) -> bytes:
    return unquote_to_bytes(text) if "%" in text else text.encode("ascii")


def _check_paths(manifest: Manifest) -> None:
    previous = directory = b""
    leaves: set[bytes] = set()
    for entry in manifest.entries:
        if entry.path <= previous:
            raise ManifestInvalidError("The manifest is not sorted, or names a path twice.")
        if _OUTSIDE.search(entry.path):
            raise ManifestInvalidError(f"The manifest names a path outside its root: {entry.path!r}")
        # A directory that was right for the entry before is right for this one.
        if directory != (directory := entry.path.rpartition(b"/")[0]) and not leaves.isdisjoint(
            parents(entry.path)
        ):
            raise ManifestInvalidError(f"The manifest names a path below a file or a link: {entry.path!r}")
        _check_fields(entry)
        if entry.kind is not Kind.DIRECTORY:
            leaves.add(entry.path)
        previous = entry.path


def _check_fields(entry: Entry) -> None:
    is_file, is_link = entry.kind is Kind.FILE, entry.kind is Kind.LINK
    if is_file != bool(entry.digest) or (is_file and not is_digest(entry.digest)):
        raise ManifestInvalidError(f"A file needs a digest, and only a file: {entry.path!r}")
    if is_link != bool(entry.target) or b"\0" in entry.target:
        raise ManifestInvalidError(f"A link needs a target, and only a link: {entry.path!r}")
    if not 0 <= entry.mode <= MODE_BITS or entry.size < 0 or (entry.size and not is_file):
        raise ManifestInvalidError(f"The manifest gives an impossible mode or size: {entry.path!r}")
