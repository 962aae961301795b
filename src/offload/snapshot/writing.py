"""Writing what came from elsewhere: whole or not at all, and never through a link."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from typing import Final

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE: Final = 0x40049409
"""Linux: share the blocks of another file until one of them changes."""
_NO_CLONE: Final = (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_NO_HARD_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_PIECE: Final = 1 << 30


def write_file(path: bytes, chunks: Iterable[bytes], mode: int) -> None:
    """Write a file that isn't there yet. If that fails, it isn't there afterwards either.

    Raises:
        OSError: it exists, or can't be written.
    """
    descriptor = os.open(path, _NEW, 0o600)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def copy_file(source: bytes, target: bytes) -> os.stat_result:
    """Copy a file with its mode and modification time; the copy's status.

    The blocks are shared where the file system can do that (Btrfs, XFS), else copied inside the kernel.

    Raises:
        OSError: the target exists, or can't be written.
    """
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(reading)
        writing = os.open(target, _NEW, 0o600)
        try:
            if status.st_size and not _clone(reading, writing):
                _copy(reading, writing)
            os.fchmod(writing, status.st_mode & 0o777)
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
            return os.fstat(writing)
        except BaseException:
            os.unlink(target)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _clone(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _copy(reading: int, writing: int) -> None:
    try:
        while os.copy_file_range(reading, writing, _PIECE):
            pass
    except OSError as error:
        # Between two file systems, on some network file systems, and in old kernels.
        if error.errno not in _NO_CLONE:
            raise
        while os.sendfile(writing, reading, None, _PIECE):
            pass


def rename_new(temporary: bytes, path: bytes) -> bool:
    """Rename without replacing anything; False when something is there."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network file systems have no hard links, and Linux no portable other way.
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
        return True
    os.unlink(temporary)
    return True
