from __future__ import annotations

import pytest

from offload.errors import UsageError
from offload.model.warning import EarlyWarning, WarningSignal, parse_warning


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("5m", EarlyWarning(before=300.0)),
        ("USR1@60", EarlyWarning(before=60.0)),
        ("usr2@0:10:00", EarlyWarning(before=600.0, signal=WarningSignal.USR2)),
        ("SIGINT@90s", EarlyWarning(before=90.0, signal=WarningSignal.INT)),
    ],
)
def test_a_warning_is_a_time_and_maybe_a_signal(text, warning):
    assert parse_warning(text) == warning


@pytest.mark.parametrize("text", ["", "@5m", "KILL@5m", "9@5m", "USR1", "USR1@", "5m@USR1", "0s"])
def test_what_is_no_warning_is_refused_with_an_example(text):
    with pytest.raises(UsageError) as caught:
        parse_warning(text)
    assert "Write it like" in caught.value.next_step


def test_a_warning_says_what_comes_when():
    assert str(parse_warning("INT@5m")) == "SIGINT 5m before the time limit"
