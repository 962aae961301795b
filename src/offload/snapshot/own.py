"""Offload's own directories, when they lie in the working directory.

Its data and caches change while a snapshot is taken, and nobody wants them at the other end. So they are left
out before any other rule is asked, and no ``.offloadignore`` brings them back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from offload.errors import UsageError

OWN_RULE: Final = "built-in rule: Offload keeps its own data there"


def own_paths(root: bytes, places: Iterable[Path]) -> frozenset[bytes]:
    """Which of Offload's ``places`` lie in ``root``, a path without links; relative to it.

    Raises:
        UsageError: ``root`` itself is one of them.
    """
    inside = root.rstrip(b"/") + b"/"
    real = {os.path.realpath(os.fsencode(place)) for place in places}
    if root in real:
        raise UsageError(
            f"{os.fsdecode(root)} can't be sent, because Offload keeps its own data there.",
            next_step="Go to a directory below it, or set OFFLOAD_HOME to another one.",
        )
    return frozenset(path.removeprefix(inside) for path in real if path.startswith(inside))
