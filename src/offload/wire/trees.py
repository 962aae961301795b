"""Removing directories that a task left behind, whatever modes it gave them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path


def remove_tree(path: Path) -> None:
    """Remove a directory, also one whose modes forbid it; what isn't there is no error."""
    raw = os.fsencode(path)
    with contextlib.suppress(OSError):  # what is empty needs no walk
        os.rmdir(raw)
        return
    for after_refusal in (_open_up, shutil.rmtree):
        try:
            shutil.rmtree(raw)
        except FileNotFoundError:
            return
        except PermissionError:
            after_refusal(raw)
        except RecursionError:  # too deep for Python 3.11
            subprocess.run(["rm", "-rf", "--", raw], check=False, capture_output=True)
        else:
            return


def remove(path: Path) -> None:
    """Remove whatever is there, if anything is; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def empty_directory(path: Path) -> None:
    """Remove all that is in a directory, which may be a mount point; make it when it isn't there."""
    os.makedirs(path, exist_ok=True)
    with os.scandir(path) as entries:
        for entry in entries:
            remove(Path(entry.path))


def _open_up(root: bytes) -> None:
    os.chmod(root, 0o700)
    for path, directories, _ in os.walk(root):
        for name in directories:
            one = os.path.join(path, name)
            if not os.path.islink(one):
                os.chmod(one, 0o700)
