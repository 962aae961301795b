"""How many tasks of a job stand where."""

from __future__ import annotations

from dataclasses import dataclass, replace

from offload.model.states import State


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

    def of(self, state: State) -> int:
        """How many are in a state."""
        return int(getattr(self, state.value))

    def with_running(self, count: int) -> Counts:
        """Count at most so many as running, and the others as pending."""
        more = max(0, self.running - count)
        return replace(self, running=self.running - more, pending=self.pending + more)
