"""How content is spoken of at both doors, ``/v1`` and ``/runner/v1``: blobs in packs, manifests as text.

Both sides of each door need this and a runner needs nothing else of the public API, whose messages would
cost every task's start some time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PACK_TYPE: Final = "application/vnd.offload.pack"
MANIFEST_TYPE: Final = "text/vnd.offload.manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """A list of blob digests: what is asked for, or what is missing."""

    digests: tuple[str, ...] = ()
