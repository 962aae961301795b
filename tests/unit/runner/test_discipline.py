from __future__ import annotations

import signal

from hypothesis import given
from hypothesis import strategies as st

from offload.model.warning import EarlyWarning, WarningSignal
from offload.runner.discipline import Discipline
from offload.runner.verdict import Cause

TERM, KILL, USR1 = signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1


def decide(discipline, now, will=Cause.NOTHING, over_memory=False):  # noqa: FBT002
    return discipline.decide(now, will=will, over_memory=over_memory)


def test_a_time_limit_asks_first_and_insists_after_the_grace_period():
    one = Discipline(started=100.0, time_limit=10, grace=3)
    assert one.due(100.0) == 10
    assert decide(one, 109.9) is None
    assert decide(one, 110.0) is TERM
    assert one.due(111.0) == 2
    assert decide(one, 112.9) is None
    assert decide(one, 113.0) is KILL
    assert one.cause is Cause.TIMEOUT
    assert one.due(113.0) is None


def test_a_warning_comes_once_before_the_time_limit_and_ends_nothing():
    one = Discipline(started=100.0, time_limit=10, grace=3, warn=EarlyWarning(before=4))
    assert one.due(100.0) == 6
    assert decide(one, 105.9) is None
    assert decide(one, 106.0) is USR1
    assert (one.cause, one.asked, one.warned) == (Cause.NOTHING, None, True)
    assert one.due(106.0) == 4
    assert decide(one, 107.0) is None
    assert decide(one, 110.0) is TERM
    assert one.cause is Cause.TIMEOUT


def test_the_signal_of_a_warning_can_be_chosen():
    one = Discipline(started=0, time_limit=10, grace=3, warn=EarlyWarning(before=4, signal=WarningSignal.INT))
    assert decide(one, 6) is signal.SIGINT


def test_who_is_being_ended_already_is_not_warned():
    one = Discipline(started=0, time_limit=10, grace=8, warn=EarlyWarning(before=4))
    assert decide(one, 1, will=Cause.CANCEL) is TERM
    assert decide(one, 7, will=Cause.CANCEL) is None
    assert not one.warned


def test_a_warning_that_could_not_be_sent_in_time_is_left_out():
    one = Discipline(started=0, time_limit=10, grace=3, warn=EarlyWarning(before=4))
    assert decide(one, 11) is TERM
    assert not one.warned


def test_too_much_memory_insists_at_once():
    one = Discipline(started=0, time_limit=None, grace=60)
    assert decide(one, 1, over_memory=True) is KILL
    assert one.cause is Cause.MEMORY


def test_a_cancel_during_the_grace_period_of_a_time_limit_keeps_the_first_cause():
    one = Discipline(started=0, time_limit=10, grace=60)
    decide(one, 10)
    assert decide(one, 11, will=Cause.CANCEL) is None
    assert one.cause is Cause.TIMEOUT


def test_a_dropped_lease_silences_every_other_cause():
    one = Discipline(started=0, time_limit=10, grace=60)
    decide(one, 10)
    assert decide(one, 11, will=Cause.DROP) is KILL
    assert one.cause is Cause.DROP


def test_no_grace_is_a_kill_right_after_the_question():
    one = Discipline(started=0, time_limit=None, grace=0)
    assert decide(one, 5, will=Cause.CANCEL) is TERM
    assert decide(one, 5, will=Cause.CANCEL) is KILL


events = st.tuples(
    st.floats(0, 30), st.sampled_from([Cause.NOTHING, Cause.CANCEL, Cause.EVICT, Cause.DROP]), st.booleans()
)


warnings = st.none() | st.floats(0.1, 20).map(lambda before: EarlyWarning(before=before))


@given(st.lists(events, max_size=20), st.none() | st.floats(1, 20), st.floats(0, 10), warnings)
def test_at_most_one_of_each_signal_is_sent_and_the_question_comes_first(steps, time_limit, grace, warn):
    one = Discipline(started=0, time_limit=time_limit, grace=grace, warn=warn)
    now, sent = 0.0, []
    for wait, will, over_memory in steps:
        now += wait
        sent.append(decide(one, now, will, over_memory))
    signals = [number for number in sent if number]
    endings = signals[1:] if signals[:1] == [USR1] else signals
    assert endings in ([], [TERM], [KILL], [TERM, KILL])
    assert (one.cause is Cause.NOTHING) == (not endings)
