"""What a working directory holds, as it would be sent.

Every directory is listed, so that empty ones travel. A symbolic link is kept as a link when it leads to
somewhere inside the root. If its text passes through the outside to get there (an absolute path, or
``../project/data``), it is kept in its relative form, because the root has another path elsewhere. Links
that lead out are refused, all at once. Pipes, sockets and devices can't be sent; they are left out, and a
notice says so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from offload.errors import LinkLeavesRootError
from offload.model.file_names import listed, shown
from offload.model.manifest import MODE_BITS, Kind
from offload.snapshot.fingerprint import Fingerprint, fingerprint_of
from offload.snapshot.ignore import IGNORE_FILE, ResultRules, Rules

_NAMED: Final = 10
"""Links that an error names, at most."""
_NOTHING: Final = Fingerprint(0, 0, 0, 0)
SPECIAL: Final = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Node(NamedTuple):
    """A file, directory or link that was found; only a file has a fingerprint, only a link a target."""

    path: bytes
    kind: Kind
    mode: int
    fingerprint: Fingerprint = _NOTHING
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Tree:
    """What a walk found, sorted by path.

    Attributes:
        nodes: what would be sent.
        unreadable: directories that can't be entered.
        notices: sentences about what can't be sent and was left out.
    """

    nodes: tuple[Node, ...]
    unreadable: tuple[bytes, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    nodes: list[Node] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    leaving: list[Node] = field(default_factory=list)


def walk(root: bytes, own: frozenset[bytes] = frozenset()) -> Tree:
    """What of ``root``, a path without links, is sent; ``own`` are Offload's own directories in it.

    Raises:
        LinkLeavesRootError: links lead out; all of them are in its details.
        UsageError: an ``.offloadignore`` is a directory.
    """
    found = _walk(root, Rules(root, own))
    if found.leaving:
        raise _leaving(found.leaving)
    return _tree(found, found.nodes)


def walk_results(root: bytes, sent: Container[bytes]) -> Tree:
    """What in ``root`` may be a result of a task that started with the paths ``sent``.

    A link that leads out is kept as it is: it is the script's own doing, and a link alone does no harm at
    home.
    """
    found = _walk(root, ResultRules(root, sent))
    return _tree(found, found.nodes + found.leaving)


def _tree(found: _Found, nodes: list[Node]) -> Tree:
    return Tree(tuple(sorted(nodes)), tuple(sorted(found.unreadable)), tuple(sorted(found.notices)))


def _walk(root: bytes, rules: Rules | ResultRules) -> _Found:
    found = _Found()
    waiting = [(b"", rules)]
    while waiting:
        directory, above = waiting.pop()
        try:
            rules = above.enter(directory)
        except OSError:
            found.unreadable.append(_locked(root, directory))
            continue
        try:
            entries = list(os.scandir(os.path.join(root, directory)))
        except FileNotFoundError:
            continue  # removed since it was listed; whoever needs one moment in time walks twice
        except OSError:
            found.unreadable.append(directory or b".")
            continue
        waiting.extend([(path, rules) for path in _take(root, directory, entries, rules, found)])
    return found


def _locked(root: bytes, directory: bytes) -> bytes:
    """What can't be read when the rules of a directory can't: all of it, or just their file."""
    if os.access(os.path.join(root, directory), os.R_OK | os.X_OK):
        return os.path.join(directory, IGNORE_FILE)
    return directory or b"."


def _take(
    root: bytes,
    directory: bytes,
    entries: list[os.DirEntry[bytes]],
    rules: Rules | ResultRules,
    found: _Found,
) -> Iterator[bytes]:
    """Record what lies in a directory, and give the directories to walk next."""
    prefix = directory + b"/" if directory else b""
    for entry in entries:
        path = prefix + entry.name
        is_directory = entry.is_dir(follow_symlinks=False)
        if rules.leaves_out(path, is_directory=is_directory)[0]:
            continue
        try:
            _record(root, path, entry.stat(follow_symlinks=False), found)
        except FileNotFoundError:
            continue
        except OSError:  # in /proc, for one, not every link may be read
            found.unreadable.append(path)
            continue
        if is_directory:
            yield path


def _record(root: bytes, path: bytes, status: os.stat_result, found: _Found) -> None:
    mode = status.st_mode & MODE_BITS
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFREG:
            found.nodes.append(Node(path, Kind.FILE, mode, fingerprint_of(status)))
        case stat.S_IFDIR:
            found.nodes.append(Node(path, Kind.DIRECTORY, mode))
        case stat.S_IFLNK:
            inside = link_target(root, path)
            target = inside or os.readlink(os.path.join(root, path))
            node = Node(path, Kind.LINK, MODE_BITS, target=target)
            (found.nodes if inside else found.leaving).append(node)
        case special:
            found.notices.append(
                f"{shown(path)} is a {SPECIAL.get(special, 'special file')} and was left out."
            )


def link_target(root: bytes, path: bytes) -> bytes | None:
    """What the link at ``path`` says, in a form that stays inside ``root``; None when it leads out."""
    link = os.path.join(root, path)
    text = os.readlink(link)
    end = os.path.realpath(link)
    if end != root and not end.startswith(root.rstrip(b"/") + b"/"):
        return None
    written = os.path.normpath(os.path.join(os.path.dirname(path), text))
    if not written.startswith(b"/") and written != b".." and not written.startswith(b"../"):
        return text
    return os.path.relpath(end, os.path.dirname(link))


def _leaving(nodes: list[Node]) -> LinkLeavesRootError:
    links = [f"{os.fsdecode(node.path)} -> {os.fsdecode(node.target)}" for node in sorted(nodes)]
    many = f"{len(links)} symbolic links lead" if len(links) > 1 else "A symbolic link leads"
    return LinkLeavesRootError(
        f"{many} out of the working directory: {listed(links, _NAMED)}",
        next_step=(
            "Put a copy in its place. Or name it in .offloadignore, and let the script use the absolute path"
            " of what it leads to, if the cluster sees that path; `local` does."
        ),
        details={"links": links},
    )
