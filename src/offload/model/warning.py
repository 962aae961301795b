"""A warning before the time limit: ``5m``, ``INT@5m``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from offload.errors import UsageError
from offload.model.resources import format_duration, parse_duration

SYNTAX: Final = "Write it like 5m, or with another signal than USR1: INT@5m, USR2@5m."


class WarningSignal(StrEnum):
    """What a script can be warned with; ``INT`` is the one that R code can catch."""

    USR1 = "USR1"
    USR2 = "USR2"
    INT = "INT"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyWarning:
    """A signal to the script itself, some time before its time limit.

    Attributes:
        before: seconds before the time limit.
        signal: its name without ``SIG``.
    """

    before: float
    signal: WarningSignal = WarningSignal.USR1

    def __str__(self) -> str:
        return f"SIG{self.signal} {format_duration(self.before)} before the time limit"


def parse_warning(text: str) -> EarlyWarning:
    """The warning that ``[SIGNAL@]TIME`` denotes.

    Raises:
        UsageError: it has no such signal, or no duration.
    """
    name, at, time = text.rpartition("@")
    before = parse_duration(time)
    if not at:
        return EarlyWarning(before=before)
    try:
        return EarlyWarning(before=before, signal=WarningSignal(name.strip().upper().removeprefix("SIG")))
    except ValueError:
        raise UsageError(f"No script is warned with {name!r}.", next_step=SYNTAX) from None
