"""Conditions on rows."""

from __future__ import annotations

import pytest

from offload.client.conditions import demand_columns, parse_conditions
from offload.errors import UsageError

ROW = {
    "state": "failed",
    "lr": "0.10",
    "loss": 2,
    "good": True,
    "note": None,
    "name of it": "a=b",
    "list": [1, "a"],
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
    ],
)
def test_a_condition_that_holds(text):
    (condition,) = parse_conditions([text])
    assert condition.holds(ROW)


@pytest.mark.parametrize("text", ["state==fail", "lr>1", "loss!=2.0", "note==x", "note<1", "good==True"])
def test_a_condition_that_does_not_hold(text):
    (condition,) = parse_conditions([text])
    assert not condition.holds(ROW)


def test_all_that_are_no_conditions_are_named():
    with pytest.raises(UsageError, match="'state=failed', '==x', 'state' are no conditions") as caught:
        parse_conditions(["state=failed", "lr<1", "==x", "state"])
    assert "state==failed" in caught.value.next_step


def test_columns_that_are_not_there_are_named_beside_those_that_are():
    with pytest.raises(UsageError, match=r"no column lss, x\. Did you mean loss\?") as caught:
        demand_columns(parse_conditions(["lss<1", "x==1", "lr<1"]), list(ROW))
    assert caught.value.next_step.startswith("Its columns are: state, lr, loss")
