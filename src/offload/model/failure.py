"""How a task failed, and whether two of them failed alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from offload.model.last_words import in_common
from offload.model.reasons import Reason, ReasonCode

ALIKE: Final = 10
"""So many that failed alike, before any succeeded, pause a job, if at least so many still wait.

Where every second task fails for a reason of its own, the first ten all do in one job of a thousand.
"""
NO_REASON: Final = Reason(code=ReasonCode.UNKNOWN, sentence="Nobody knows why.")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a task failed.

    Attributes:
        reason: why.
        exit_status: of the command; None when it never ran.
    """

    reason: Reason
    exit_status: int | None

    @property
    def kind(self) -> tuple[ReasonCode, int | None, str]:
        """The same for tasks that failed alike: reason, exit status, last words but for what varies."""
        return self.reason.code, self.exit_status, in_common(self.reason.words)
