"""What the file system says about a file without reading it, and when that can be believed.

Size, modification time, inode and change time together change whenever the content does, with one gap: a
second change within the same tick of the file system's clock looks like the first. So a digest is believed
later only if the file had been left alone for longer than a tick when it was read. The change time decides,
because a program can set the modification time as it likes.

And there are file systems where what a program writes into a file that it has mapped into its memory changes
none of the four: tmpfs, if the page was read before. Who has to be sure asks :func:`tells_of_all_changes`.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000
_COARSE_TICK: Final = 2 * _SECOND
"""FAT and some network file systems count in seconds, or in two."""
_FINE_TICK: Final = _SECOND // 10
"""A kernel's tick is 1 to 10 ms; the rest is for a server whose clock differs a little."""


class Fingerprint(NamedTuple):
    """Identity of a file's state; ``size`` in bytes, times in nanoseconds since the epoch."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


def fingerprint_of(status: os.stat_result) -> Fingerprint:
    """The fingerprint in a stat result."""
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def settled(fingerprint: Fingerprint, read_ns: int) -> bool:
    """Whether a file read at ``read_ns`` can't have changed afterwards without another fingerprint."""
    tick = _FINE_TICK if fingerprint.ctime_ns % _SECOND else _COARSE_TICK
    return fingerprint.ctime_ns + tick < read_ns


def tells_of_all_changes(directory: bytes) -> bool:
    """Whether writing through memory gives a file of this directory's file system another fingerprint.

    Makes a file there and removes it; raises ``OSError`` when that can't be done.
    """
    path = os.path.join(directory, b".offload-probe")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"0")
        os.utime(descriptor, ns=(0, 0))
        return not _change_unseen(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(path)


def _change_unseen(descriptor: int) -> bool:
    try:
        memory = mmap.mmap(descriptor, 1)
    except OSError:  # nobody can do that there
        return False
    with memory:
        memory[0] += 1  # read, and then written
        memory.flush()
    return os.fstat(descriptor).st_mtime_ns == 0
