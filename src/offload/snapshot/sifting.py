"""What of a copy is still as it was made, found without copying it again; what isn't is removed.

The proof is the fingerprint: whatever is done to a file, a link or a directory (content, mode, owner, links,
extended attributes) moves its change time, which no program can set. Where a copy was used so soon that a
change could have come within the tick of the copy itself, it is compared with the pristine directory. When in
doubt a thing is removed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from offload.snapshot.checkout import OWNER_MAY_ALL
from offload.snapshot.fingerprint import Fingerprint, fingerprint_of, settled
from offload.wire.trees import remove

_PIECE: Final = 1 << 20


class State(NamedTuple):
    """A file, directory or link of a copy as it was left: nothing was done to it while it has the same."""

    fingerprint: Fingerprint
    mode: int
    uid: int
    gid: int


def state_of(status: os.stat_result) -> State:
    """The state in a stat result."""
    return State(fingerprint_of(status), status.st_mode, status.st_uid, status.st_gid)


class Sieve:
    """Goes through a copy once.

    Args:
        pristine: what it is a copy of.
        root: the copy, a directory that is still itself and may be entered.
        copied: everything that was copied, by its path below the root.
        used_ns: when the copy began to be used, in nanoseconds since 1970.
    """

    def __init__(self, pristine: bytes, root: bytes, copied: Mapping[bytes, State], used_ns: int) -> None:
        self._pristine = pristine
        self._root = root
        self._copied = copied
        self._used_ns = used_ns
        self._kept: dict[bytes, State] = {}
        self._disturbed: set[bytes] = set()

    def run(self) -> dict[bytes, State]:
        """Remove what was made or changed, and give what is left, as it is now.

        Raises:
            OSError: something can't be removed.
        """
        waiting = [b""]
        while waiting:
            waiting += self._sift(waiting.pop())
        # The inner ones first: an outer one may not be entered any more once it has its mode.
        for path in sorted(self._disturbed, reverse=True):
            self._kept[path] = dress(os.path.join(self._pristine, path), os.path.join(self._root, path))
        return self._kept

    def _sift(self, directory: bytes) -> list[bytes]:
        """Sift what lies directly in a directory, and give the directories in it that stay."""
        below = []
        prefix = directory + b"/" if directory else b""
        with os.scandir(os.path.join(self._root, directory)) as entries:
            found = list(entries)
        for entry in found:
            path = prefix + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if not self._stays(path, entry, is_directory=is_directory):
                self._open(directory)
                remove(Path(os.fsdecode(entry.path)))
            elif is_directory:
                below.append(path)
        return below

    def _stays(self, path: bytes, entry: os.DirEntry[bytes], *, is_directory: bool) -> bool:
        if (was := self._copied.get(path)) is None:
            return False
        now = state_of(entry.stat(follow_symlinks=False))
        is_proved = now == was and settled(was.fingerprint, self._used_ns)
        if not is_proved and not (
            self._directory_stays(path, now, was) if is_directory else now == was and self._is_same(path, now)
        ):
            return False
        self._kept[path] = now
        return True

    def _directory_stays(self, path: bytes, now: State, was: State) -> bool:
        """Whether it is the same one; its mode and time can be set again."""
        # The number of an inode that is free may be given to whatever comes next.
        if not stat.S_ISDIR(was.mode):
            return False
        if (now.fingerprint.inode, now.uid, now.gid) != (was.fingerprint.inode, was.uid, was.gid):
            return False
        copy = os.path.join(self._root, path)
        if changed_unseen(now, was) or attributes(copy) != attributes(os.path.join(self._pristine, path)):
            return False
        if (now.mode, now.fingerprint.mtime_ns) != (was.mode, was.fingerprint.mtime_ns):
            self._disturbed.add(path)
            os.chmod(copy, OWNER_MAY_ALL)
        return True

    def _open(self, directory: bytes) -> None:
        """Let something be removed from a directory."""
        if directory and directory not in self._disturbed:
            self._disturbed.add(directory)
            os.chmod(os.path.join(self._root, directory), OWNER_MAY_ALL)

    def _is_same(self, path: bytes, now: State) -> bool:
        """Whether a file or link is what the pristine directory holds."""
        ours, copy = os.path.join(self._pristine, path), os.path.join(self._root, path)
        if stat.S_ISLNK(now.mode):
            return os.readlink(ours) == os.readlink(copy)
        status = os.lstat(copy)
        return status.st_nlink == 1 and attributes(ours) == attributes(copy) and _is_equal(ours, copy)


def dress(pristine: bytes, copy: bytes) -> State:
    """Give a directory the mode and the modification time of another one; its state afterwards."""
    status = os.stat(pristine)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.chmod(copy, stat.S_IMODE(status.st_mode))
    return state_of(os.lstat(copy))


def changed_unseen(now: State, was: State) -> bool:
    """Whether something was done to a directory that its state doesn't say, such as ``chattr``."""
    seen = (now.mode, now.uid, now.gid, now.fingerprint.mtime_ns)
    return now != was and seen == (was.mode, was.uid, was.gid, was.fingerprint.mtime_ns)


def attributes(path: bytes) -> dict[str, bytes]:
    """Extended attributes, access control lists among them."""
    with contextlib.suppress(OSError):  # a file system without them
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    return {}


def _is_equal(one: bytes, other: bytes) -> bool:
    with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
        while (piece := first.read(_PIECE)) == second.read(_PIECE):
            if not piece:
                return True
    return False
