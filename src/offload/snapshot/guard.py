"""The size guard: a working directory that has grown past what should travel is refused."""

from __future__ import annotations

import os
from typing import Final

from offload.errors import SnapshotTooLargeError
from offload.model.file_names import shown
from offload.model.manifest import parents
from offload.model.resources import format_size
from offload.snapshot.walk import Tree

DEFAULT_LIMIT: Final = 500_000_000
"""Bytes; what goes through a home connection in a few minutes."""
_NAMED: Final = 5
_MOST: Final = 0.9
"""A folder that holds nearly all of its parent's bytes is named in the parent's place."""


def check_size(tree: Tree, limit: int | None) -> None:
    """Refuse a tree of more than ``limit`` bytes; None lifts the guard.

    Raises:
        SnapshotTooLargeError: names the largest folders and files, with their sizes.
    """
    total = sum(node.fingerprint.size for node in tree.nodes)
    if limit is None or total <= limit:
        return
    largest = _largest(tree)
    named = ", ".join(f"{shown(path)} ({format_size(size)})" for path, size in largest)
    raise SnapshotTooLargeError(
        f"The working directory holds {format_size(total)}; at most {format_size(limit)} are sent."
        f" Largest: {named}.",
        next_step=(
            "Name what the script doesn't need in .offloadignore, or raise the limit with --size-limit. Or"
            " keep large data elsewhere and let the script use its absolute path, if the cluster sees that"
            " path; `local` does. `offload explain PATH` tells what is sent."
        ),
        details={
            "size": total,
            "limit": limit,
            "largest": [{"path": os.fsdecode(path), "size": size} for path, size in largest],
        },
    )


def _largest(tree: Tree) -> list[tuple[bytes, int]]:
    sizes: dict[bytes, int] = {}
    below: dict[bytes, list[bytes]] = {}
    for node in tree.nodes:
        chain = [*parents(node.path), node.path]
        for path in chain:
            sizes[path] = sizes.get(path, 0) + node.fingerprint.size
        below.setdefault(chain[-2] if len(chain) > 1 else b"", []).append(node.path)
    top = sorted(below.get(b"", []), key=sizes.__getitem__, reverse=True)[:_NAMED]
    return [(path, sizes[path]) for path in (_narrow(path, sizes, below) for path in top) if sizes[path]]


def _narrow(path: bytes, sizes: dict[bytes, int], below: dict[bytes, list[bytes]]) -> bytes:
    while path in below:
        largest = max(below[path], key=sizes.__getitem__)
        if sizes[largest] < _MOST * sizes[path]:
            break
        path = largest
    return path
