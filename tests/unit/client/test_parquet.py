"""Rows as Parquet, read back by the package that others read it with."""

from __future__ import annotations

import sys

import pyarrow.parquet
import pytest

from offload.client.parquet import write_parquet
from offload.client.task_table import TaskTable
from offload.errors import UsageError
from offload.model.reasons import Reason, ReasonCode
from offload.model.states import AttemptState, State
from offload.model.use import Use
from offload.wire.api import AttemptView, TaskView

ROWS = [
    {"task": 1, "loss": 1, "good": True, "mixed": "a", "large": 1, "more": {"a": [1]}, "none": None},
    {"task": 2, "loss": 0.5, "good": None, "mixed": 2, "large": 1 << 70, "more": None, "none": None},
]


def test_each_column_gets_the_type_that_all_of_its_cells_have(tmp_path):
    path = tmp_path / "runs.parquet"
    assert write_parquet(path, list(ROWS[0]), lambda: iter(ROWS)) == 2
    table = pyarrow.parquet.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == {
        "task": "int64",
        "loss": "double",
        "good": "bool",
        "mixed": "string",
        "large": "string",
        "more": "string",
        "none": "string",
    }
    assert table.to_pylist() == [
        {"task": 1, "loss": 1.0, "good": True, "mixed": "a", "large": "1", "more": '{"a":[1]}', "none": None},
        {
            "task": 2,
            "loss": 0.5,
            "good": None,
            "mixed": "2",
            "large": str(1 << 70),
            "more": None,
            "none": None,
        },
    ]


def test_the_columns_of_every_table_have_the_same_types_whatever_is_in_them(tmp_path):
    def types(name: str, task: TaskView) -> dict[str, str]:
        with TaskTable([task], ["lr"]) as table:
            write_parquet(tmp_path / name, table.columns, table.rows)
        schema = pyarrow.parquet.read_schema(tmp_path / name)
        return {field.name: str(field.type) for field in schema}

    use = Use(wall=1.0, cpu=2.0, peak_memory=3)
    attempt = AttemptView(
        number=1, runner="r", state=AttemptState.FAILED, started=1.0, ended=2.0, use=use, memory=4
    )
    reason = Reason(code=ReasonCode.EXIT, sentence="It failed.")
    full = TaskView(
        index=1,
        state=State.FAILED,
        exit_status=5,
        reason=reason,
        attempts=(attempt,),
        parameters={"lr": "0.1"},
    )
    expected = {
        "task": "int64", "lr": "string", "state": "string", "reason": "string", "exit_status": "int64",
        "attempts": "int64", "started": "double", "ended": "double", "wall": "double", "cpu": "double",
        "peak_memory": "int64", "memory_limit": "int64",
    }  # fmt: skip
    assert types("full.parquet", full) == expected
    assert types("empty.parquet", TaskView(index=1, state=State.PENDING)) == expected
    both = [pyarrow.parquet.read_table(tmp_path / name) for name in ("full.parquet", "empty.parquet")]
    assert pyarrow.concat_tables(both).num_rows == 2


def test_a_whole_number_that_a_column_of_numbers_cannot_hold_exactly_is_the_nearest_one(tmp_path):
    path = tmp_path / "runs.parquet"
    rows = [{"n": 0.5}, {"n": (1 << 60) + 1}]
    assert write_parquet(path, ["n"], lambda: iter(rows)) == 2
    assert pyarrow.parquet.read_table(path).to_pylist() == [{"n": 0.5}, {"n": float(1 << 60)}]


def test_many_rows_are_written_in_groups(tmp_path):
    path = tmp_path / "runs.parquet"
    assert write_parquet(path, ["n"], lambda: ({"n": number} for number in range(25_000))) == 25_000
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3


def test_no_rows_are_a_file_with_columns(tmp_path):
    path = tmp_path / "runs.parquet"
    assert write_parquet(path, ["n"], lambda: iter(())) == 0
    assert pyarrow.parquet.read_table(path).column_names == ["n"]


def test_a_place_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="can't be written"):
        write_parquet(tmp_path / "no" / "runs.parquet", ["n"], lambda: iter(()))


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs the package pyarrow") as caught:
        write_parquet(tmp_path / "runs.parquet", ["n"], lambda: iter(()))
    assert "pip install pyarrow" in caught.value.next_step
