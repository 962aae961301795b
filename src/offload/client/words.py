"""What can travel: the argv and the variables of a process elsewhere, as JSON."""

from __future__ import annotations

from offload.errors import UsageError


def is_text(word: str) -> bool:
    """Whether it can travel: an argument or variable of other bytes than UTF-8 can't."""
    return not any("\ud800" <= char <= "\udfff" for char in word)


def check_text(word: str) -> None:
    """Raise a ``UsageError`` that shows the word if it can't travel."""
    if not is_text(word):
        raise UsageError(
            f"{word!a} isn't UTF-8 text.", next_step="Rename it, or let a script make such a text."
        )
