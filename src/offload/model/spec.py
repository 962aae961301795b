"""The spec: all that a person asked for, complete enough to run it again on another day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from offload.model.array import Array
from offload.model.resources import Resources

DEFAULT_GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL: R and Python need one or two to save what they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One submission.

    Attributes:
        command: the argv to execute, interpreter first; never empty.
        name: what people call it; the script's name by default.
        cluster: where it runs.
        snapshot: manifest digest of the working directory, ``sha256:`` + 64 hex digits.
        home: where the results belong, a ``file://HOST/absolute/path`` URI (percent-encoded).
        directory: where below the snapshot's root the command starts, POSIX and relative; ``.`` is the root.
        resources: what one task needs.
        array: the indices of the tasks.
        is_array: whether an array was asked for; a plain job has one task, with index 1.
        time_limit: seconds of wall time per attempt, or None.
        grace: seconds between SIGTERM and SIGKILL.
        retries: how many failed attempts of one task are repeated.
        env: variables that the command sees, above those of the cluster.
        stdin: digest of the blob that is the standard input; None is empty input.
    """

    command: tuple[str, ...]
    name: str
    cluster: str
    snapshot: str
    home: str
    directory: str = "."
    resources: Resources = field(default_factory=Resources)
    array: Array = field(default_factory=Array)
    is_array: bool = False
    time_limit: float | None = None
    grace: float = DEFAULT_GRACE
    retries: int = 0
    env: dict[str, str] = field(default_factory=dict)
    stdin: str | None = None
