"""What is Offload's own in the working directory: its directories, if they lie there, and unfinished files.

Its data and caches change while a snapshot is taken, and nobody wants them at the other end. So they are left
out before any other rule is asked, and no ``.offloadignore`` brings them back. A file that is on its way home
has a name that shows it, because whoever brings it may be killed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from offload.errors import UsageError

OWN_RULE: Final = "built-in rule: Offload keeps its own data there"

UNFINISHED_RULE: Final = "built-in rule: a result that didn't come home whole"
_UNFINISHED: Final = re.compile(rb"\.offload-[a-z0-9]+-[0-9a-f]{12}")


def unfinished_name(place: bytes, label: str) -> bytes:
    """What a file is called while the job ``label`` brings it to ``place``: the same whenever it is tried."""
    return f".offload-{label}-{hashlib.sha256(place).hexdigest()[:12]}".encode()


def is_unfinished(name: bytes) -> bool:
    """Whether a file is called so."""
    return _UNFINISHED.fullmatch(name) is not None


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
