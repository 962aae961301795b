"""What a play back did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class PlaybackReport:
    """What came home; paths are relative to the target, as bytes.

    Attributes:
        new: weren't there before.
        changed: were as they had been sent, and are now as the task left them.
        same: were there already as the task left them.
        beside: stayed as they are at home, and where the result is instead.
    """

    new: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    same: list[bytes] = field(default_factory=list)
    beside: list[tuple[bytes, bytes]] = field(default_factory=list)
