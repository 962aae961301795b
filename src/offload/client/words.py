"""What can travel: the argv and the variables of a process elsewhere, as JSON."""

from __future__ import annotations


def is_text(word: str) -> bool:
    """Whether it can travel: an argument or variable of other bytes than UTF-8 can't."""
    return not any("\ud800" <= char <= "\udfff" for char in word)
