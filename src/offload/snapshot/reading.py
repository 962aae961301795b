"""Reading files that may change meanwhile.

A file is read through one descriptor whose fingerprint must be the one that the walk saw, before the first
byte and after the last. When a file is read again to be sent, its digest must come out again.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Final

from offload.errors import SnapshotUnreadableError
from offload.model.file_names import listed
from offload.snapshot.fingerprint import fingerprint_of
from offload.snapshot.walk import Node
from offload.wire.encoding import CHUNK

_NAMED: Final = 10
_REPLACED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""How opening fails when something else has come into the file's place."""


class FileChanged(Exception):  # noqa: N818  never reaches a person: a snapshot is tried again
    """A file isn't as it was when the directory was walked."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


def unreadable_error(paths: Sequence[bytes]) -> SnapshotUnreadableError:
    """The error about files and directories that can't be read."""
    names = sorted(map(os.fsdecode, paths))
    return SnapshotUnreadableError(
        f"You may not read {listed(names, _NAMED)} in the working directory.",
        next_step="Make them readable (chmod u+r), or name them in .offloadignore.",
        details={"paths": names},
    )


def read_chunks(root: bytes, node: Node) -> Iterator[bytes]:
    """The bytes of a file, in pieces of at most 1 MiB.

    Raises:
        FileChanged: it isn't what the walk saw.
        SnapshotUnreadableError: it can't be read.
    """
    # Without O_NONBLOCK, a pipe put in the file's place would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(os.path.join(root, node.path), flags)
    except OSError as error:
        if error.errno in _REPLACED:
            raise FileChanged(node.path) from error
        raise unreadable_error([node.path]) from error
    try:
        _demand_same(descriptor, node)
        left = node.fingerprint.size
        while left and (chunk := _read(descriptor, min(CHUNK, left), node)):
            left -= len(chunk)
            yield chunk
        _demand_same(descriptor, node)
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, node: Node) -> bytes:
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise unreadable_error([node.path]) from error


def _demand_same(descriptor: int, node: Node) -> None:
    if fingerprint_of(os.fstat(descriptor)) != node.fingerprint:
        raise FileChanged(node.path)


def hash_file(root: bytes, node: Node) -> str:
    """The digest of a file; raises as :func:`read_chunks`."""
    digest = hashlib.sha256()
    for chunk in read_chunks(root, node):
        digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def checked_chunks(root: bytes, node: Node, digest: str) -> Iterator[bytes]:
    """The bytes of a file whose digest is known, in pieces of at most 1 MiB.

    The last piece comes only when the digest has come out again, so whoever reads never has all of a file
    that changed. Raises as :func:`read_chunks`.
    """
    again = hashlib.sha256()
    held = b""
    for chunk in read_chunks(root, node):
        if held:
            yield held
        again.update(chunk)
        held = chunk
    if "sha256:" + again.hexdigest() != digest:
        raise FileChanged(node.path)
    yield held
