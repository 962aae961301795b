"""What an attempt used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Resource use of one attempt, its whole process tree together.

    Attributes:
        wall: seconds from start to end of the command.
        cpu: seconds of CPU, user and system, of every process that was waited for.
        peak_memory: bytes, the largest sum over the process tree that was seen.
        bytes_in: bytes of blobs fetched for this attempt.
        bytes_out: bytes of results and logs sent by this attempt.
    """

    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
