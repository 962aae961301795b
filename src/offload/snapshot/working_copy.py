"""One directory for many attempts, each of which finds it as if it were the first.

To copy a directory for each attempt would cost more than a short task does, and much more where there is data
in it. Most attempts change little of what they are given. So after each, what it made or changed is removed,
and before the next one what is missing is copied again; :mod:`~offload.snapshot.sifting` tells how it is
known what was changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

from offload.errors import disk_full
from offload.snapshot.checkout import FREE, FULL, OWNER_MAY_ALL, make_empty
from offload.snapshot.fingerprint import Fingerprint, settled, tells_of_all_changes
from offload.snapshot.sifting import Sieve, State, attributes, changed_unseen, dress, state_of
from offload.snapshot.writing import copy_file
from offload.wire.trees import empty_directory, remove

Pristine = dict[bytes, Fingerprint]
"""Files of a copy that can't have changed if they still have this fingerprint, by path."""


class WorkingCopy:
    """A copy of a directory that was checked out, renewed for one attempt after another.

    Args:
        pristine: what it is a copy of; nobody changes that.
        target: a new or an empty directory, possibly a mount point; only attempts change it.
    """

    def __init__(self, pristine: Path, target: Path) -> None:
        self._pristine = os.fsencode(pristine)
        self._root = os.fsencode(target)
        # By path below the root, which is itself b"". Empty while nothing is known of what lies there.
        self._copied: dict[bytes, State] = {}
        self._attributes: dict[str, bytes] = {}
        self._is_ours = False
        self._is_whole = False
        self._is_told = False
        # When the copy began to be used; 0 where nothing but a comparison proves anything.
        self._used_ns = 0

    def fill(self) -> Pristine:
        """Make it a copy, with modes, links and modification times, whatever was done to it since.

        Gives the fingerprints of its files, for :func:`offload.snapshot.diff.changed_since`.

        Raises:
            PlaybackError: there is something in it that couldn't be removed.
            DiskFullError: there is no space left; nothing is left behind, and it may be called again.
        """
        if self._is_ours:
            with contextlib.suppress(OSError):
                self.tidy()
        if not self._is_whole:
            try:
                with disk_full(FULL.format(os.fsdecode(self._root)), FREE):
                    self._copy_what_is_missing()
            except BaseException:
                self.discard()
                with contextlib.suppress(OSError):
                    self.tidy()
                raise
        # The next change may come within the same tick as the copy.
        self._used_ns = time.time_ns() if self._is_told else 0
        return {
            path: state.fingerprint
            for path, state in self._copied.items()
            if stat.S_ISREG(state.mode) and settled(state.fingerprint, self._used_ns)
        }

    def tidy(self) -> None:
        """Remove what an attempt made or changed.

        Raises:
            OSError: something can't be removed. The next :meth:`fill` tries again, and refuses if it can't.
        """
        before, self._copied = self._copied, {}
        was_whole, self._is_whole = self._is_whole, False
        with contextlib.suppress(OSError):
            if before and self._restore_root(before[b""]):
                kept = Sieve(self._pristine, self._root, before, self._used_ns).run()
                self._copied = {b"": state_of(os.lstat(self._root)), **kept}
                self._is_whole = was_whole and len(self._copied) == len(before)
                return
        if self._is_ours:
            remove_all(self._root)

    def discard(self) -> None:
        """Believe nothing of what lies there: somebody may still write. The next :meth:`tidy` removes it."""
        self._copied = {}

    def _restore_root(self, was: State) -> bool:
        """Make the root as it was, unless it is another one; a mount point can't be made anew."""
        try:
            now = state_of(os.lstat(self._root))
        except FileNotFoundError:
            return False
        if now == was and settled(was.fingerprint, self._used_ns):
            return True
        is_another = now.fingerprint.inode != was.fingerprint.inode or not stat.S_ISDIR(now.mode)
        if is_another or changed_unseen(now, was):
            return False
        if (now.uid, now.gid) != (was.uid, was.gid):
            os.chown(self._root, was.uid, was.gid)
        if now.mode != was.mode:
            os.chmod(self._root, OWNER_MAY_ALL)
        self._restore_attributes()
        if now.mode != was.mode:
            os.chmod(self._root, stat.S_IMODE(was.mode))
        return True

    def _restore_attributes(self) -> None:
        found = attributes(self._root)
        for name in found.keys() - self._attributes.keys():
            os.removexattr(self._root, name)
        for name, value in self._attributes.items():
            if found.get(name) != value:
                os.setxattr(self._root, name, value)

    def _begin(self) -> None:
        make_empty(self._root, OWNER_MAY_ALL)
        self._is_ours = True
        self._is_told = tells_of_all_changes(self._root)
        self._copied = {b"": state_of(os.lstat(self._root))}
        self._attributes = attributes(self._root)

    def _copy_what_is_missing(self) -> None:
        if not self._copied:
            self._begin()
        opened = set[bytes]()
        waiting = [b""]
        while waiting:
            waiting += self._copy_directory(waiting.pop(), opened)
        # The inner ones first: an outer one may not be entered any more once it has its mode.
        for path in sorted(opened, reverse=True):
            self._copied[path] = dress(os.path.join(self._pristine, path), os.path.join(self._root, path))
        self._copied[b""] = state_of(os.lstat(self._root))
        self._is_whole = True

    def _copy_directory(self, directory: bytes, opened: set[bytes]) -> list[bytes]:
        """Copy what lies directly in a directory and is missing, and give the directories in it.

        Directories that must be dressed afterwards come into ``opened``.
        """
        below = []
        prefix = directory + b"/" if directory else b""
        with os.scandir(os.path.join(self._pristine, directory)) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(path)
                if path not in self._copied:
                    if directory and directory not in opened:
                        os.chmod(os.path.join(self._root, directory), OWNER_MAY_ALL)
                        opened.add(directory)
                    self._copied[path] = _copy(entry, os.path.join(self._root, path))
                    if entry.is_dir(follow_symlinks=False):
                        opened.add(path)
        return below


def _copy(entry: os.DirEntry[bytes], target: bytes) -> State:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(target, OWNER_MAY_ALL)
    else:
        return state_of(copy_file(entry.path, target))
    return state_of(os.lstat(target))


def remove_all(root: bytes) -> None:
    """Remove a directory, or what has taken its place; of a mount point, what is in it."""
    path = Path(os.fsdecode(root))
    if path.is_symlink() or not path.is_dir():
        remove(path)
        return
    with contextlib.suppress(OSError):
        path.chmod(OWNER_MAY_ALL)
    empty_directory(path)
    with contextlib.suppress(OSError):
        path.rmdir()
