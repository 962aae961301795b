"""How one attempt ended, as its runner tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from offload.model.reasons import Reason
from offload.model.use import Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The report of a finished attempt.

    Attributes:
        exit_status: of the command, 128 + n for signal n. As a shell says it, 127 for a command that isn't
            there and 126 for one that can't be executed. None when it didn't come to executing it.
        reason: why it is not a success; None is a success. A runner never sends one with exit status 0
            unless something of Offload failed (for example results that could not be kept).
        use: what it used.
        results: manifest digest of new and changed files; None when there are none.
        result: the JSON object that the task wrote to ``$OFFLOAD_RESULT``, or None.
    """

    exit_status: int | None
    reason: Reason | None = None
    use: Use = field(default_factory=Use)
    results: str | None = None
    result: dict[str, Any] | None = None
