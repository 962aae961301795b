"""Directories for tests: made from nested dicts, and described so that two can be compared.

A dict is a directory, bytes are a file, and a :class:`Link` is a symbolic link.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass

from hypothesis import strategies as st

from offload.snapshot.ignore import BUILT_IN_DIRECTORIES, BUILT_IN_FILES

ODD_NAMES = (
    b"a b",
    b"new\nline",
    b"'single' \"double\"",
    b"\xff\xfe",
    "größe".encode(),
    b"-rf",
    b"%41",
    b"*",
    b"\\x",
)


@dataclass(frozen=True)
class Link:
    target: bytes


def make(root, tree) -> None:
    """Write a tree below ``root``, which may be there."""
    root = os.fsencode(root)
    os.makedirs(root, exist_ok=True)
    for name, content in tree.items():
        path = os.path.join(root, os.fsencode(name))
        if isinstance(content, dict):
            make(path, content)
        elif isinstance(content, Link):
            os.symlink(content.target, path)
        else:
            with open(path, "wb") as file:
                file.write(content)


def describe(root) -> dict[bytes, tuple]:
    """Everything below ``root`` by path: kind with mode, and content or target."""
    root = os.fsencode(root)
    found = {}
    for directory, names, files in os.walk(root):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content = b""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, root)] = (stat.filemode(status.st_mode), content)
    return found


def names(*usual: bytes) -> st.SearchStrategy[bytes]:
    """Names of files, usual and odd; of those that the built-in list leaves out, only the usual ones."""
    other = {b".", b"..", *BUILT_IN_DIRECTORIES, *BUILT_IN_FILES}
    odd = st.binary(min_size=1, max_size=5).filter(lambda name: name not in other and not {0, 47} & {*name})
    return st.one_of(st.sampled_from((*ODD_NAMES, *usual)), odd)


def trees(*usual: bytes, contents=None, max_leaves: int = 12) -> st.SearchStrategy[dict]:
    """Directories with odd names, empty directories, empty files and files with the same content."""
    contents = (
        st.one_of(st.sampled_from((b"", b"same")), st.binary(max_size=40)) if contents is None else contents
    )
    leaf = st.one_of(contents, st.just({}))
    node = st.recursive(
        leaf, lambda below: st.dictionaries(names(*usual), below, max_size=4), max_leaves=max_leaves
    )
    return st.dictionaries(names(*usual), node, max_size=5)


def settle(root) -> None:
    """Wait until the files below ``root`` have been left alone for longer than a tick of the clock."""
    newest = max(
        (os.lstat(os.path.join(os.fsencode(root), path)).st_ctime_ns for path in describe(root)), default=0
    )
    while time.time_ns() < newest + 200_000_000:
        time.sleep(0.01)
