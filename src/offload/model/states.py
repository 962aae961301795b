"""The states of jobs and tasks, and what is wanted of a job.

``pending → running → succeeded | failed | cancelled``. Terminal is terminal. A task whose attempt was
lost goes back from ``running`` to ``pending``; nothing else moves backwards.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job or a task stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change it any more."""
        return self not in (State.PENDING, State.RUNNING)


class Stand(StrEnum):
    """What lists show of a job: its state, or ``paused`` as long as that is wanted of an unfinished one."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Target(StrEnum):
    """What is wanted of a job; people and failures move the target, only the reconciler moves the state.

    ``paused``: what runs goes on to its end, and nothing else begins until somebody resumes the job.
    """

    DONE = "done"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """How one try at a task stands or ended. ``lost`` is never charged to the task."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
