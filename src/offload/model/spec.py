"""The spec: all that a person asked for, complete enough to run it again on another day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from offload.model.array import Array
from offload.model.parameters import Parameters
from offload.model.resources import Resources
from offload.model.warning import EarlyWarning

MOST_RUNNING: Final = 1000
"""Tasks of one job that may run at a time."""
MEMORY_GROWTH: Final = 1.5
"""How many times as much memory a task gets that ran out of it, unless the job says otherwise."""
LEAST_GROWTH: Final = 1.1
"""Less is no larger size: it would only fail once more."""
MOST_GROWTH: Final = 10.0
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
        memory_growth: how many times as much memory a task gets that ran out of it; 1 is never more.
        memory_limit: bytes of memory that one task may have, by the cluster; None where that isn't known. Set
            when the job is accepted.
        array: the indices of the tasks.
        is_array: whether many tasks were asked for; a plain job has one task, with index 1.
        out_of: how many tasks there were at first, where a job repeats only some; None: it has all.
        parameters: what makes the tasks differ; None when only their indices do.
        results: where below ``home`` the files of a task go, with ``{job}``, ``{task}`` and parameters in it;
            None is ``results/{job}/{task}`` for many tasks, and ``home`` itself for one.
        time_limit: seconds of wall time per attempt, or None.
        grace: seconds between SIGTERM and SIGKILL.
        warn: the signal that tells the script before its time limit; None is none.
        max_running: how many of the tasks may run at a time; None is as many as the cluster has room for.
        fail_fast: how many failed tasks end the job, so that the rest is cancelled; None is none.
        keep_going: whether the job goes on even when its first tasks all fail alike, instead of being paused.
        retries: how many failed attempts of one task are repeated.
        env: variables that the command sees, above those of the cluster.
        stdin: digest of the blob that is the standard input; None is empty input.
        image: container image that the command runs in; None is the cluster's own for this language.
        profile: name of one of the cluster's profiles.
        mounts: names of the cluster's mounts that the command sees, ``NAME`` or ``NAME:/path``.
        queue: the cluster's queue that the job waits in.
        test_preemption: seconds after which each task's first attempt is interrupted on purpose, or None.
        left_open: which of ``cpus``, ``memory`` and ``gpus`` nobody asked for, so that the profile or the
            cluster decides; empty once a job is accepted.
    """

    command: tuple[str, ...]
    name: str
    cluster: str
    snapshot: str
    home: str
    directory: str = "."
    resources: Resources = field(default_factory=Resources)
    memory_growth: float = MEMORY_GROWTH
    memory_limit: int | None = None
    array: Array = field(default_factory=Array)
    is_array: bool = False
    out_of: int | None = None
    parameters: Parameters | None = None
    results: str | None = None
    time_limit: float | None = None
    grace: float = DEFAULT_GRACE
    warn: EarlyWarning | None = None
    max_running: int | None = None
    fail_fast: int | None = None
    keep_going: bool = False
    retries: int = 0
    env: dict[str, str] = field(default_factory=dict)
    stdin: str | None = None
    image: str | None = None
    profile: str | None = None
    mounts: tuple[str, ...] = ()
    queue: str | None = None
    test_preemption: float | None = None
    left_open: tuple[str, ...] = ()

    @property
    def task_count(self) -> int:
        """Of how many tasks a task is one, which a script may divide its data by."""
        return len(self.array) if self.out_of is None else self.out_of
