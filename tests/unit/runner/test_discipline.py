from __future__ import annotations

import signal

from hypothesis import given
from hypothesis import strategies as st

from offload.runner.discipline import Discipline
from offload.runner.verdict import Cause

TERM, KILL = signal.SIGTERM, signal.SIGKILL


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


@given(st.lists(events, max_size=20), st.none() | st.floats(1, 20), st.floats(0, 10))
def test_at_most_one_of_each_signal_is_sent_and_the_question_comes_first(steps, time_limit, grace):
    one = Discipline(started=0, time_limit=time_limit, grace=grace)
    now, sent = 0.0, []
    for wait, will, over_memory in steps:
        now += wait
        sent.append(decide(one, now, will, over_memory))
    signals = [number for number in sent if number]
    assert signals in ([], [TERM], [KILL], [TERM, KILL])
    assert (one.cause is Cause.NOTHING) == (not signals)
