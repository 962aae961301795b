"""Names of files as a person sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_STEERING: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys and doesn't show: control characters, and what turns the direction of text."""


def shown(name: bytes | str) -> str:
    """A name without anything that steers a terminal; that, and what isn't UTF-8, is shown as an escape."""
    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    text = raw.decode("utf-8", "backslashreplace")
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def listed(names: Sequence[bytes | str], most: int) -> str:
    """The first names, at most ``most``, and how many more there are."""
    named = ", ".join(map(shown, names[:most]))
    more = len(names) - most
    return f"{named} and {more} more" if more > 0 else named
