"""Messages of the public API, ``/v1``: what the command line, the SDKs and the web page read and write.

Times are seconds since the epoch (UTC), sizes bytes, durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from offload.model.array import Array
from offload.model.counts import Counts
from offload.model.reasons import Reason
from offload.model.resources import Resources
from offload.model.spec import Spec
from offload.model.states import AttemptState, State, Target
from offload.model.usage import Usage
from offload.model.use import Use

API_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """``POST /v1/jobs``.

    Attributes:
        spec: what to run; its snapshot must have been put before.
        key: chosen by the client; the same key again returns the same job instead of a second one.
    """

    spec: Spec
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """``POST /v1/jobs/{id}/rerun``: what shall be different this time.

    Attributes:
        tasks: only these of its tasks; None is all of them.
        memory: limit in bytes; None is that of the job.
    """

    tasks: Array | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowest:
    """The task that has run longest, of those that run: its index, and since when."""

    task: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job.

    Attributes:
        id: its id.
        user: who submitted it.
        spec: what was asked.
        state: where it stands.
        target: what is wanted of it.
        reason: why it failed or is paused; while none of its tasks runs, why it waits.
        exit_status: once ended: 0, or the status of its first failed task.
        counts: its tasks by state.
        created: when it was submitted.
        started: when its first attempt began.
        ended: when its last task ended.
        results_expire: when results and logs are removed; None while it is unfinished.
        results_removed: whether they have been.
        slowest: of an array's tasks that run, the one that has for longest; left out of listings.
    """

    id: str
    user: str
    spec: Spec
    state: State
    target: Target
    counts: Counts
    created: float
    reason: Reason | None = None
    exit_status: int | None = None
    started: float | None = None
    ended: float | None = None
    results_expire: float | None = None
    results_removed: bool = False
    slowest: Slowest | None = None

    @property
    def is_paused(self) -> bool:
        """Whether nothing new of it begins until somebody resumes it."""
        return self.target is Target.PAUSED

    @property
    def is_at_rest(self) -> bool:
        """Whether it is paused and nothing of it runs any more."""
        return self.is_paused and not self.counts.running


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One try at a task.

    Attributes:
        number: 1 for the first.
        runner: which runner tried.
        state: how it stands or ended.
        started: when it was leased; once its runner told, when it began.
        ended: when its runner says it ended, or its loss was noticed.
        exit_status: of the command.
        reason: why it is no success.
        use: what it used.
        memory: its limit in bytes, which is more than was asked where an earlier one ran out; None is none.
    """

    number: int
    runner: str
    state: AttemptState
    started: float
    ended: float | None = None
    exit_status: int | None = None
    reason: Reason | None = None
    use: Use | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task of a job.

    Attributes:
        index: its index in the array; 1 for a plain job.
        state: where it stands.
        reason: why it failed or waits.
        exit_status: of its last attempt's command.
        results: manifest digest of its new and changed files.
        result: the JSON object that it wrote to ``$OFFLOAD_RESULT``.
        attempts: every try, oldest first.
        parameters: what makes it differ from the other tasks, by name; None when only its index does, or when
            they were removed with the job's files.
    """

    index: int
    state: State
    reason: Reason | None = None
    exit_status: int | None = None
    results: str | None = None
    result: dict[str, Any] | None = None
    attempts: tuple[AttemptView, ...] = ()
    parameters: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageView:
    """What attempts used.

    Attributes:
        usage: of the latest of them; None when none has ended yet.
    """

    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """``GET /v1/jobs``: newest first; ``next`` is the ``before`` of the following page."""

    jobs: tuple[JobView, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """``GET /v1/jobs/{id}/tasks``: in index order; ``next`` is the ``after`` of the following page."""

    tasks: tuple[TaskView, ...]
    next: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """Something that happened to a job.

    Attributes:
        id: position in the launcher's event log; resume with ``Last-Event-ID``.
        job: whose event it is.
        at: when.
        kind: ``submitted``, ``waiting``, ``task_started``, ``task_ended``, ``tasks_ended`` (all that had not
            begun), ``task_returned`` (a runner gave it back unbegun), ``attempt_lost``, ``attempt_failed``,
            ``runner_ended`` (before it began), ``paused``, ``resumed``, ``cancel_requested``, ``gave_up``
            (enough had failed), ``job_started``, ``job_ended``, ``results_removed``.
        task: which task, if it is about one.
        data: facts by kind, for example ``state``, ``reason``, ``attempt``.
    """

    id: int
    job: str
    at: float
    kind: str
    task: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """A cluster as people see it.

    Attributes:
        name: what ``--on`` takes.
        backend: ``local``, ``kubernetes``, …
        available: whether it can take jobs now.
        problem: why not, and what to do about it.
        capacity: the largest request that fits; None where that isn't known.
        free: what is free now; None where that isn't known.
        enforces: how limits are kept, by limit: ``memory``, ``time``, ``cpus``, ``gpus``.
        session_env: names of session variables that are worth sending, because the cluster is this machine.
        profiles: what ``--profile`` takes: what each is, by name.
        mounts: what ``--mount`` takes: what each is, by name.
        images: the image of each language, by language, and others that are allowed, as patterns.
    """

    name: str
    backend: str
    available: bool
    problem: str = ""
    capacity: Resources | None = None
    free: Resources | None = None
    enforces: dict[str, str] = field(default_factory=dict)
    session_env: tuple[str, ...] = ()
    profiles: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChange:
    """``PUT /v1/clusters/{name}``.

    Attributes:
        backend: ``local``, ``kubernetes``, …
        settings: the backend's own settings, as they stand in ``config.toml``.
    """

    backend: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherView:
    """``GET /v1/launcher``."""

    version: str
    api_version: int
    pid: int
    started: float
    store: str
    listening: tuple[str, ...]
    unfinished_jobs: int
    idle_limit: float | None
    blobs: int
    blob_bytes: int
