"""How many tasks of a job stand where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tasks of a job stand where."""

    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All tasks."""
        return self.pending + self.running + self.succeeded + self.failed + self.cancelled
