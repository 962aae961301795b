"""The directory at home as play back sees it: what is there, and where else a result can go."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

from offload.errors import SnapshotUnreadableError
from offload.model.manifest import MODE_BITS, Entry, Kind
from offload.snapshot.fingerprint import fingerprint_of
from offload.snapshot.reading import FileChanged, hash_file
from offload.snapshot.walk import Node, link_target

_NAME_MAX: Final = 255
_KINDS: Final = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


class Home:
    """What is below ``root``, a path without links."""

    def __init__(self, root: bytes) -> None:
        self.root = root

    def path(self, place: bytes) -> bytes:
        """The absolute path."""
        return os.path.join(self.root, place)

    def status(self, place: bytes) -> os.stat_result | None:
        """What is there; None when nothing is."""
        try:
            return os.lstat(self.path(place))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def offers_directory(self, place: bytes) -> bool:
        """Whether a directory is there, not a link to one, or nothing that one would replace."""
        status = self.status(place)
        return status is None or stat.S_ISDIR(status.st_mode)

    def holds(self, place: bytes, status: os.stat_result, entry: Entry | None) -> bool:
        """Whether what is there has the kind and content of ``entry``; its mode doesn't matter."""
        if entry is None or _KINDS.get(stat.S_IFMT(status.st_mode)) is not entry.kind:
            return False
        if entry.kind is Kind.LINK:
            # The snapshot sent the link in its inside form.
            text = os.readlink(self.path(place))
            return entry.target in (text, link_target(self.root, place))
        if entry.kind is Kind.DIRECTORY:
            return True
        node = Node(place, Kind.FILE, status.st_mode & MODE_BITS, fingerprint_of(status))
        try:
            return status.st_size == entry.size and hash_file(self.root, node) == entry.digest
        except (FileChanged, SnapshotUnreadableError):
            return False


def beside_names(place: bytes, label: str) -> Iterator[bytes]:
    """Names for what must not go to ``place``: ``a.from-k7m2q9x.csv``, ``a.from-k7m2q9x-2.csv`` and so on."""
    above, _, name = place.rpartition(b"/")
    stem, suffix = _split(name)
    for number in itertools.count(1):
        mark = f".from-{label}".encode() + (f"-{number}".encode() if number > 1 else b"")
        short = stem[: max(1, _NAME_MAX - len(mark) - len(suffix))]
        yield (above + b"/" if above else b"") + short + mark + suffix


def _split(name: bytes) -> tuple[bytes, bytes]:
    """``data.tar.gz`` to ``data`` and ``.tar.gz``; ``.profile`` has no suffix."""
    stem, suffix = os.path.splitext(name)
    if stem.endswith(b".tar"):
        stem, suffix = stem[:-4], b".tar" + suffix
    return (name, b"") if len(suffix) > _NAME_MAX // 2 else (stem, suffix)
