"""Conditions on rows."""

from __future__ import annotations

import pytest

from offload.client.conditions import Fit, parse_conditions, state_wanted
from offload.errors import UsageError
from offload.model.states import State

ROW = {
    "state": "failed",
    "lr": "0.10",
    "loss": 2,
    "good": True,
    "note": None,
    "name of it": "a=b",
    "list": [1, "a"],
    "large": 9007199254740993,
    "wall": 2.2,
    "cpu": 0.0,
    "peak_memory": 9_000_000,
}


@pytest.mark.parametrize(
    "text",
    [
        "state==failed",
        " state != succeeded ",
        "lr==0.1",
        "lr<1e0",
        "loss>=2",
        "loss<10",
        "good==true",
        "note!=x",
        "name of it==a=b",
        "state>a",
        'list==[1,"a"]',
        "good==True",
        "good!=FALSE",
        "good!=1",
        "state!=running",
        "reason!=exit",
        "large==9007199254740993",
        "wall<10s",
        "wall>2s",
        "wall<1m 30s",
        "wall<0:01:00",
        "cpu==0.0s",
        "peak_memory>8Mi",
        "peak_memory < 8.6 MiB",
        "peak_memory==9MB",
        "state=='failed'",
        'state=="failed"',
        "lr<'1'",
    ],
)
def test_a_condition_that_holds(text):
    (condition,) = parse_conditions([text])
    assert condition.holds(ROW)


@pytest.mark.parametrize(
    "text",
    [
        "state==running",
        "reason==exit",
        "lr>1",
        "loss!=2.0",
        "note==x",
        "note<1",
        "good==false",
        "good>0",
        "good>1",
        "good==1",
        "good<true",
        "state<1",
        "large==9007199254740992",
        "wall>10s",
        "peak_memory<8Mi",
    ],
)
def test_a_condition_that_does_not_hold(text):
    (condition,) = parse_conditions([text])
    assert not condition.holds(ROW)


def demand(texts: list[str], columns: list[str], *rows: dict) -> None:
    fit = Fit(parse_conditions(texts))
    for row in rows:
        fit.see(row)
    fit.demand(columns)


def test_all_that_are_no_conditions_are_named():
    with pytest.raises(UsageError, match="'state=failed', '==x', 'state' are no conditions") as caught:
        parse_conditions(["state=failed", "lr<1", "==x", "state"])
    assert "state==failed" in caught.value.next_step


def test_columns_that_are_not_there_are_named_beside_those_that_are():
    with pytest.raises(UsageError, match=r"no column lss, x\. Did you mean loss\?") as caught:
        demand(["lss<1", "x==1", "lr<1"], list(ROW), ROW)
    assert caught.value.next_step.startswith("Its columns are: state, lr, loss")


def test_a_value_that_a_column_of_every_table_cannot_hold_is_refused_at_once():
    with pytest.raises(UsageError) as caught:
        parse_conditions(["wall>long", "peak_memory<8 apples", "exit_status==x", "started>8Mi", "oops"])
    assert caught.value.sentence.splitlines() == [
        "'oops' is no condition.",
        "'wall>long': wall holds durations, and 'long' is none.",
        "'peak_memory<8 apples': peak_memory holds sizes, and '8 apples' is none.",
        "'exit_status==x': exit_status holds numbers, and 'x' is none.",
        "'started>8Mi': started holds seconds since the epoch, and '8Mi' is none.",
    ]
    assert "1d12h" in caught.value.next_step
    assert "500Mi" in caught.value.next_step
    assert "exit_status>0.5" in caught.value.next_step


def test_a_state_or_reason_that_there_is_not_is_named_beside_those_that_there_are():
    with pytest.raises(UsageError) as caught:
        parse_conditions(["state==faild", "reason!=oom", "state>a"])
    assert caught.value.sentence.splitlines() == [
        "'state==faild': state is never 'faild'.",
        "'reason!=oom': reason is never 'oom'.",
    ]
    assert "Did you mean failed? There are: pending, running, succeeded" in caught.value.next_step
    assert "out_of_memory" in caught.value.next_step


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        (["state==failed"], State.FAILED),
        (["state=='failed'", "state==failed", "wall>2s"], State.FAILED),
        (["state==failed", "state==pending"], None),
        (["state!=failed"], None),
        (["state==failed", "lr<1"], None),
        ([], None),
    ],
)
def test_one_state_is_wanted_if_no_other_rows_are_needed_to_tell(texts, state):
    assert state_wanted(parse_conditions(texts)) == state


def test_a_value_that_is_unlike_every_cell_is_refused_once_all_are_seen():
    rows = [{"loss": 1.5, "lr": "0.1", "good": True}, {"loss": None, "lr": "1e-2", "good": False}]
    with pytest.raises(UsageError) as caught:
        demand(["loss<2s", "lr==small", "good>1", "good<true"], ["loss", "lr", "good"], *rows)
    assert caught.value.sentence.splitlines() == [
        "'loss<2s': loss holds numbers, and '2s' is none.",
        "'lr==small': lr holds numbers, and 'small' is none.",
        "'good>1': good holds only true and false.",
        "'good<true': good holds only true and false.",
    ]
    assert "good==true" in caught.value.next_step


def test_a_column_of_numbers_and_words_may_be_compared_with_either():
    rows = [{"lr": "0.1", "good": True}, {"lr": "auto", "good": "maybe"}]
    demand(["lr==auto", "lr<1", "good==maybe", "good>1"], ["lr", "good"], *rows)
