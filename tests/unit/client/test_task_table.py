"""Tasks as rows."""

from __future__ import annotations

import tracemalloc

import pytest

from offload.client.conditions import parse_conditions
from offload.client.task_table import TaskTable
from offload.errors import UsageError
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import AttemptState, State
from offload.model.use import Use
from offload.wire.api import AttemptView, TaskView


def attempt(number: int) -> AttemptView:
    return AttemptView(
        number=number,
        runner="r",
        state=AttemptState.SUCCEEDED,
        started=10.0,
        ended=20.0,
        use=Use(wall=9.5, cpu=3.0, peak_memory=1 << 20),
        memory=1 << 30,
    )


def test_a_row_has_parameters_state_use_and_results():
    task = TaskView(
        index=3,
        state=State.SUCCEEDED,
        exit_status=0,
        parameters={"lr": "0.1"},
        result={"loss": 0.5, "state": "mine", "more": {"a": 1}},
        attempts=(attempt(1), attempt(2)),
    )
    with TaskTable([task], ("lr",)) as table:
        (row,) = table.rows()
    assert list(row) == list(table.columns)
    assert row == {
        "task": 3,
        "lr": "0.1",
        "state": "succeeded",
        "reason": None,
        "exit_status": 0,
        "attempts": 2,
        "started": 10.0,
        "ended": 20.0,
        "wall": 9.5,
        "cpu": 3.0,
        "peak_memory": 1 << 20,
        "memory_limit": 1 << 30,
        "loss": 0.5,
        "result.state": "mine",
        "more": {"a": 1},
    }


def test_columns_are_those_of_all_tasks_and_a_task_without_one_has_an_empty_cell():
    reason = Reason(code=ReasonCode.EXIT, sentence="It failed.")
    tasks = [
        TaskView(index=1, state=State.FAILED, reason=reason, result={"a": 1}),
        TaskView(index=2, state=State.PENDING),
        TaskView(index=3, state=State.SUCCEEDED, result={"b": 2}),
    ]
    with TaskTable(tasks) as table:
        assert table.columns[-2:] == ("a", "b")
        assert [(row["a"], row["b"]) for row in table.rows()] == [(1, None), (None, None), (None, 2)]
    with TaskTable(tasks, (), parse_conditions(["state!=pending", "a!=1"])) as table:
        assert table.columns[-2:] == ("a", "b")
        assert [row["task"] for row in table.rows()] == [3]


def test_no_two_keys_of_results_become_one_column():
    result = {"state": 1, "result.state": 2, "result.result.state": 3, "result.loss": 4, "loss": 5}
    with TaskTable([TaskView(index=1, state=State.SUCCEEDED, result=result)]) as table:
        (row,) = table.rows()
    assert row["state"] == "succeeded"
    found = {name: row[name] for name in table.columns[-5:]}
    assert found == {
        "result.state": 1,
        "result.result.state": 2,
        "result.result.result.state": 3,
        "result.loss": 4,
        "loss": 5,
    }


def test_conditions_that_do_not_fit_are_refused_once_all_rows_are_seen():
    tasks = [TaskView(index=index, state=State.SUCCEEDED, result={"loss": index}) for index in range(3)]
    with pytest.raises(UsageError, match="'loss<low': loss holds numbers, and 'low' is none"):
        TaskTable(tasks, (), parse_conditions(["loss<low"]))
    with pytest.raises(UsageError, match=r"no column lss\. Did you mean loss"):
        TaskTable(tasks, (), parse_conditions(["lss<1"]))


def test_many_rows_are_never_in_memory():
    tasks = (
        TaskView(index=index, state=State.SUCCEEDED, result={"words": "x" * 500}) for index in range(20_000)
    )
    tracemalloc.start()
    with TaskTable(tasks, (), parse_conditions(["task>=10000"])) as table:
        count = sum(1 for _ in table.rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 5_000_000
