"""A line that has to fit: what matters least goes first, and whole, so that no number is cut in two.

In a table the widest columns give way. What counts is the breadth of a text on a terminal, not its length.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Final

_DOTS: Final = "…"
_NARROW: Final = 9
"""Characters of the longest state; no column is made narrower."""
_WIDE: Final = ("W", "F")
_INVISIBLE: Final = ("Mn", "Me", "Cf")
"""Accents of their own, and what joins or directs letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a line.

    Attributes:
        text: what it says.
        rank: those with the highest go first; 0 stays.
        shorter: what stands in its place once it has gone.
        least: characters down to which a name or a sentence may be cut; 0 if it is whole or not there.
        gap: what stands before it, unless it is the first.
    """

    text: str
    rank: int = 0
    shorter: Part | None = None
    least: int = 0
    gap: str = "  "

    @property
    def spare(self) -> int:
        """Characters that may be cut off."""
        return max(breadth(self.text) - self.least, 0) if self.least else 0


def fitted(parts: Sequence[Part], width: int | None = None) -> str:
    """The parts as one line, of at most ``width`` characters where what has to stay is no longer."""
    kept = list(parts)
    if width is None:
        return _line(kept)
    while breadth(_line(kept)) - sum(part.spare for part in kept) > width:
        goes = max(kept, key=lambda part: part.rank)
        if not goes.rank:
            break
        at = kept.index(goes)
        kept[at : at + 1] = [goes.shorter] if goes.shorter else []
    return _line(_cut(kept, breadth(_line(kept)) - width))


def breadth(text: str) -> int:
    """Columns that a terminal needs: two for a letter of East Asia, none for an accent of its own."""
    return len(text) if text.isascii() else sum(map(_breadth_of, text))


def _breadth_of(letter: str) -> int:
    if unicodedata.category(letter) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in _WIDE else 1


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns; one that is cut ends in ``…``."""
    if breadth(text) <= width:
        return text
    used = accumulate(map(_breadth_of, text))
    return text[: sum(1 for _ in takewhile(lambda columns: columns < width, used))] + _DOTS


def narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that fit into a room, if they can: the widest become narrower, down to ``least``."""
    fits: list[int] = []
    for most in range(max(room, _NARROW), _NARROW - 1, -1):
        fits = [min(width, max(most, floor)) for width, floor in zip(widths, least, strict=True)]
        if sum(fits) <= room:
            break
    return fits


def _line(parts: Sequence[Part]) -> str:
    return "".join((part.gap if at else "") + part.text for at, part in enumerate(parts))


def _cut(parts: Sequence[Part], excess: int) -> list[Part]:
    """What may be cut is cut by so many characters, the first part first."""
    done: list[Part] = []
    for part in parts:
        less = min(part.spare, max(excess, 0))
        excess -= less
        done.append(replace(part, text=shortened(part.text, breadth(part.text) - less)))
    return done
