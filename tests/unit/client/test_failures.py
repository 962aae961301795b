"""Failed tasks, put together by cause."""

from __future__ import annotations

from offload.client.failures import causes_of
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import State
from offload.wire.api import TaskView


def failed(
    index: int, words: str = "", *, status: int | None = 1, code: ReasonCode = ReasonCode.EXIT
) -> TaskView:
    reason = Reason(code=code, sentence=f"Task {index} failed.", words=words)
    return TaskView(index=index, state=State.FAILED, exit_status=status, reason=reason)


def test_tasks_with_the_same_error_but_for_numbers_and_paths_have_one_cause():
    (cause,) = causes_of(
        [failed(3, "ValueError: bad /data/3.csv"), failed(4, "ValueError: bad /data/x/4.csv")]
    )
    assert (cause.tasks, cause.words, cause.sentence) == (
        [3, 4],
        "ValueError: bad /data/3.csv",
        "Task 3 failed.",
    )


def test_another_error_status_or_reason_is_another_cause():
    tasks = [
        failed(1, "KeyError: 'a'"),
        failed(2, "KeyError: 'b'"),
        failed(3, "KeyError: 'a'", status=2),
        failed(4, code=ReasonCode.TIMEOUT),
        failed(5, code=ReasonCode.OUT_OF_MEMORY),
    ]
    assert [cause.tasks for cause in causes_of(tasks)] == [[1], [2], [3], [4], [5]]


def test_the_most_frequent_cause_is_the_first():
    causes = causes_of([failed(1, "a"), failed(2, "b"), failed(3, "b"), failed(4, "c"), failed(5, "c")])
    assert [cause.tasks for cause in causes] == [[2, 3], [4, 5], [1]]


def test_a_task_without_a_reason_is_shown_as_unknown():
    (cause,) = causes_of([TaskView(index=1, state=State.FAILED)])
    assert cause.code is ReasonCode.UNKNOWN
