"""Why the tasks of a job failed: those that failed alike, together.

Two tasks failed alike when the reason, the exit status and the words of the script's last complaint are the
same but for numbers, paths and ids. The largest group comes first; its number stays the same once the job
has ended, so that it can be named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from offload.client.api import Api
from offload.errors import JobNotFinishedError, UsageError
from offload.model.array import Array
from offload.model.failure import NO_REASON, Failure
from offload.model.reasons import ReasonCode
from offload.model.states import State
from offload.wire.api import JobView, TaskView


@dataclass(slots=True, kw_only=True)
class Cause:
    """Tasks that failed alike.

    Attributes:
        code: of the reason.
        exit_status: of the command; None when it never ran.
        sentence: the reason of the first of them, in plain words.
        words: what its script, or the cluster, said last; may be empty.
        tasks: their indices, ascending.
    """

    code: ReasonCode
    exit_status: int | None
    sentence: str
    words: str
    tasks: list[int] = field(default_factory=list)


def causes_of(tasks: Iterable[TaskView]) -> list[Cause]:
    """The causes of failed tasks, the most frequent first."""
    found: dict[tuple[ReasonCode, int | None, str], Cause] = {}
    for task in tasks:
        why = task.reason or NO_REASON
        cause = found.setdefault(
            Failure(why, task.exit_status).kind,
            Cause(code=why.code, exit_status=task.exit_status, sentence=why.sentence, words=why.words),
        )
        cause.tasks.append(task.index)
    return sorted(found.values(), key=lambda cause: (-len(cause.tasks), cause.tasks[0]))


def find_causes(api: Api, job: str) -> list[Cause]:
    """The causes of the tasks of a job that have failed so far; raises ``JobNotFoundError``."""
    return causes_of(api.tasks(job, state=State.FAILED.value))


def choose_failed(api: Api, job: JobView, causes: Iterable[int] = ()) -> Array:
    """The failed tasks of a job; with ``causes`` only those of the causes with these numbers, from 1.

    Raises:
        JobNotFinishedError: causes are named while their numbers may still change.
        UsageError: nothing has failed, or there is no such cause.
    """
    wanted = sorted(set(causes))
    if wanted and not job.state.is_terminal:
        raise JobNotFinishedError(
            f"{job.id} hasn't ended yet, so the numbers of its causes may still change.",
            next_step=f"Wait for it: offload wait {job.id}; or take all: offload rerun {job.id} --failed",
        )
    found = find_causes(api, job.id)
    if not found:
        raise UsageError(
            f"No task of {job.id} has failed.", next_step=f"All of it once more: offload rerun {job.id}"
        )
    if strange := [number for number in wanted if not 1 <= number <= len(found)]:
        raise UsageError(
            f"There is no cause {', '.join(map(str, strange))}; they are numbered from 1 to {len(found)}.",
            next_step=f"See them: offload failures {job.id}",
        )
    chosen = [found[number - 1] for number in wanted] if wanted else found
    return Array.of(index for cause in chosen for index in cause.tasks)
