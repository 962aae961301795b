"""The columns that every table of tasks has, and of what kind the cells of each are.

What is known beforehand needs no look at the cells: a job in which no task was measured has the same columns
of the same types as any other.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Kind(Enum):
    """What the cells of a column are."""

    TEXT = auto()
    COUNT = auto()
    """A whole number."""
    MOMENT = auto()
    """Seconds since the epoch."""
    DURATION = auto()
    """Seconds."""
    SIZE = auto()
    """Bytes."""


INDEX: Final = {"task": Kind.COUNT}
"""Before the parameters."""
FATE: Final = {
    "state": Kind.TEXT,
    "reason": Kind.TEXT,
    "exit_status": Kind.COUNT,
    "attempts": Kind.COUNT,
    "started": Kind.MOMENT,
    "ended": Kind.MOMENT,
    "wall": Kind.DURATION,
    "cpu": Kind.DURATION,
    "peak_memory": Kind.SIZE,
    "memory_limit": Kind.SIZE,
}
"""After the parameters: how a task went and what it used."""
BUILT_IN: Final = INDEX | FATE
