"""Why something failed or still waits: one enumeration of codes, each with a sentence in plain words.

The outside system's own words are kept beside the sentence, never instead of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ReasonCode(StrEnum):
    """The causes that Offload distinguishes."""

    EXIT = "exit"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    TIMEOUT = "timeout"
    COMMAND_NOT_FOUND = "command_not_found"
    RESULTS_LOST = "results_lost"
    EVICTED = "evicted"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    RUNNER_LOST = "runner_lost"
    IMAGE_UNAVAILABLE = "image_unavailable"
    UNSCHEDULABLE = "unschedulable"
    WAITING_FOR_NODE = "waiting_for_node"
    WAITING_FOR_CAPACITY = "waiting_for_capacity"
    WAITING_FOR_QUOTA = "waiting_for_quota"
    STAGING = "staging"
    LAUNCHER_UNREACHABLE = "launcher_unreachable"
    PAUSED = "paused"
    FAILED_ALIKE = "failed_alike"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    UNKNOWN = "unknown"


NOT_CHARGED: Final = frozenset(
    {ReasonCode.EVICTED, ReasonCode.PREEMPTED, ReasonCode.NODE_LOST, ReasonCode.RUNNER_LOST}
)
"""Losses that are no fault of the task: it is run again without using up ``--retries``."""

OWN_DOING: Final = frozenset({ReasonCode.OUT_OF_MEMORY, ReasonCode.OUT_OF_DISK, ReasonCode.TIMEOUT})
"""What takes a runner down because of its task: the attempt failed, although nobody reported its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why, for a person (``sentence``) and for a script (``code``).

    Attributes:
        code: one of :class:`ReasonCode`.
        sentence: plain words, complete, ending in a full stop.
        words: what the outside system said, or the script about its failure, verbatim; may be empty.
    """

    code: ReasonCode
    sentence: str
    words: str = ""
