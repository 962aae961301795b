"""Pure words: exit statuses, sentences, sizes, tables."""

from dataclasses import replace

import pytest

from offload.cli.finish import exit_status
from offload.cli.fitting import Part, breadth, fitted, narrowed, shortened
from offload.cli.pace import Pace
from offload.cli.standing import status_parts
from offload.cli.status import explain, history_lines
from offload.cli.text import ago, number_of, span, table
from offload.client.collect import home_of
from offload.errors import PlaybackError
from offload.model.array import parse_array
from offload.model.counts import Counts
from offload.model.reasons import Reason, ReasonCode
from offload.model.spec import Spec
from offload.model.states import State, Target
from offload.wire.api import EventView, JobView, Slowest, TaskView
from offload.wire.codec import to_builtins

SPEC = Spec(
    command=("Rscript", "fit.R"), name="fit.R", cluster="local", snapshot="", home="file://elsewhere/p"
)
JOB = JobView(
    id="k7m2q9x", user="ann", spec=SPEC, state=State.RUNNING, target=Target.DONE,
    counts=Counts(running=1), created=100.0, started=110.0,
)  # fmt: skip


def status_text(job: JobView, now: float, pace: Pace | None = None, width: int | None = None) -> str:
    return fitted(status_parts(job, now, pace), width)


def because(code: ReasonCode, sentence: str = "So it was.", words: str = "") -> Reason:
    return Reason(code=code, sentence=sentence, words=words)


@pytest.mark.parametrize(
    ("state", "reason", "of_script", "expected"),
    [
        (State.SUCCEEDED, None, 0, 0),
        (State.FAILED, because(ReasonCode.EXIT), 3, 3),
        (State.FAILED, because(ReasonCode.SIGNAL), 139, 139),
        (State.FAILED, because(ReasonCode.TIMEOUT), 143, 124),
        (State.FAILED, because(ReasonCode.REFUSED), None, 125),
        (State.FAILED, because(ReasonCode.RESULTS_LOST), 0, 125),
        (State.FAILED, None, None, 125),
        (State.CANCELLED, because(ReasonCode.CANCELLED), 143, 130),
    ],
)
def test_the_exit_status_of_every_kind_of_end(state, reason, of_script, expected):
    assert exit_status(replace(JOB, state=state, reason=reason, exit_status=of_script)) == expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {
                "state": State.PENDING,
                "reason": because(ReasonCode.WAITING_FOR_CAPACITY, "It waits for 4 CPUs."),
            },
            "k7m2q9x (fit.R) has been waiting for 1m 40s on local. It waits for 4 CPUs.",
        ),
        ({}, "k7m2q9x (fit.R) has been running for 1m 30s on local."),
        (
            {"target": Target.CANCELLED},
            "k7m2q9x (fit.R) is being cancelled; it has been running for 1m 30s on local.",
        ),
        ({"state": State.SUCCEEDED, "ended": 115.0}, "k7m2q9x (fit.R) succeeded after 5s."),
        (
            {"state": State.FAILED, "reason": because(ReasonCode.UNKNOWN, "Something happened.", "Zarquon")},
            "k7m2q9x (fit.R) failed. Something happened. (Zarquon)",
        ),
        ({"state": State.CANCELLED}, "k7m2q9x (fit.R) was cancelled."),
    ],
)
def test_why_in_every_state(changes, sentence):
    assert explain(replace(JOB, **changes), None, 200.0) == sentence


def test_why_an_array_failed_names_its_first_failed_task():
    spec = replace(SPEC, is_array=True, array=parse_array("1-9"))
    job = replace(JOB, spec=spec, state=State.FAILED, counts=Counts(succeeded=7, failed=2))
    task = TaskView(index=4, state=State.FAILED, reason=because(ReasonCode.EXIT, "It ended with status 3."))
    assert explain(job, task, 200.0) == (
        "k7m2q9x (fit.R) failed: 2 of 9 tasks did. Task 4: It ended with status 3."
    )


def test_why_lists_what_was_waited_for_and_what_went_wrong_with_the_systems_own_words():
    waits = because(ReasonCode.WAITING_FOR_NODE, "It waits for a node.", "0/3 nodes")
    told = [
        EventView(id=1, job="k7m2q9x", at=0.0, kind="submitted"),
        EventView(id=2, job="k7m2q9x", at=60.0, kind="waiting", data={"reason": to_builtins(waits)}),
        EventView(id=3, job="k7m2q9x", at=90.0, kind="job_started"),
        EventView(
            id=4, job="k7m2q9x", at=95.0, kind="attempt_lost", task=2,
            data={"reason": to_builtins(because(ReasonCode.NODE_LOST, "The node is gone."))},
        ),
    ]  # fmt: skip
    assert [line.split("  ")[-1] for line in history_lines(told)] == [
        "submitted",
        "waits: It waits for a node. (0/3 nodes)",
        "began",
        "task 2 was lost and is tried again: The node is gone.",
    ]
    assert history_lines(told[:1]) == []
    many = [replace(told[1], id=number) for number in range(50)]
    assert history_lines(many)[0] == "  … 30 before; --json has all"
    assert len(history_lines(many)) == 21


def test_the_status_line_says_what_is_going_on():
    assert status_text(JOB, 122.0) == "k7m2q9x fit.R  running 12s  1 CPU"
    assert status_text(replace(JOB, target=Target.CANCELLED), 122.0) == "k7m2q9x fit.R  cancelling 12s  1 CPU"
    waits = replace(JOB, state=State.PENDING, reason=because(ReasonCode.WAITING_FOR_CAPACITY, "It waits."))
    assert status_text(waits, 122.0) == "k7m2q9x fit.R  waiting 22s  It waits."
    array = replace(JOB, spec=replace(SPEC, is_array=True), counts=Counts(pending=5, running=2, succeeded=3))
    assert status_text(array, 122.0) == "k7m2q9x fit.R  running 12s  3 of 10 tasks done, 2 running  1 CPU"


def test_the_status_line_of_an_array_tells_failures_and_when_it_may_be_done():
    counts = Counts(pending=5000, running=2, succeeded=97, failed=3)
    array = replace(JOB, spec=replace(SPEC, is_array=True), counts=counts)
    assert status_text(array, 210.0, Pace(110.0)) == (
        "k7m2q9x fit.R  running 1m 40s  100 of 5,102 tasks done, 3 failed, 2 running  "
        "1.0/s, 1h 15m to 1h 32m left  1 CPU"
    )


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (120, "{} s.sh  running 2s  17 of 60 tasks done, 5 failed, 8 running  8.5/s, 4s to 7s left  1 CPU"),
        (88, "{} s.sh  running 2s  17 of 60 tasks done, 5 failed, 8 running  8.5/s, 4s to 7s left"),
        (87, "{} s.sh  running 2s  17 of 60 tasks done, 5 failed, 8 running  4s to 7s left"),
        (79, "{} s.sh  running 2s  17 of 60 tasks done, 5 failed  4s to 7s left"),
        (60, "{} s.sh  running 2s  17 of 60 tasks done, 5 failed"),
        (50, "{}  running 2s  17 of 60 tasks done, 5 failed"),
        (44, "{}  running 2s  17 of 60 tasks done"),
        (10, "{}  running 2s  17 of 60 tasks done"),
    ],
)
def test_a_status_line_that_has_no_room_loses_whole_parts_the_least_important_first(width, text):
    spec = replace(SPEC, is_array=True, name="s.sh")
    array = replace(JOB, spec=spec, counts=Counts(pending=35, running=8, succeeded=12, failed=5))
    assert status_text(array, 112.0, Pace(110.0), width) == text.format(JOB.id)


def test_a_long_name_and_a_long_reason_are_shortened_before_a_number_goes():
    spec = replace(SPEC, is_array=True, name="the nightly simulation of every penguin")
    array = replace(JOB, spec=spec, counts=Counts(pending=35, running=8, succeeded=17))
    shown = status_text(array, 112.0, None, 79)
    assert shown == "k7m2q9x the nightly simulat…  running 2s  17 of 60 tasks done, 8 running  1 CPU"
    assert len(shown) == 79
    waits = because(ReasonCode.WAITING_FOR_CAPACITY, "It waits for 4 CPUs, of which others have all for now.")
    pending = replace(array, state=State.PENDING, reason=waits)
    shown = status_text(pending, 112.0, None, 79)
    assert shown == "k7m2q9x the nightly…  waiting 12s  It waits for 4 CPUs, of which others have a…"
    assert (len(shown), shortened("abc", 3), shortened("abcd", 3)) == (79, "abc", "ab…")


def test_a_line_that_need_not_fit_has_all_of_its_parts():
    parts = [Part(text="a"), Part(text="b", rank=1, gap=", "), Part(text="c", least=1)]
    assert fitted(parts) == "a, b  c"


def test_tasks_that_never_began_are_not_done():
    counts = Counts(failed=18, cancelled=82)
    job = replace(JOB, spec=replace(SPEC, is_array=True), target=Target.CANCELLED, counts=counts)
    assert status_text(job, 114.0, Pace(110.0)) == (
        "k7m2q9x fit.R  cancelling 4s  18 of 100 tasks done, 18 failed, 82 cancelled, 0 running  1 CPU"
    )


def test_the_status_line_of_an_array_names_the_task_that_has_run_longest_once_that_is_long():
    counts = Counts(pending=5, running=2, succeeded=3)
    array = replace(
        JOB, spec=replace(SPEC, is_array=True), counts=counts, slowest=Slowest(task=7, since=50.0)
    )
    assert "slowest: task 7, for 1m 12s" in status_text(array, 122.0)
    assert "slowest" not in status_text(array, 59.0)


def test_time_left_is_said_only_once_there_is_something_to_go_by():
    pace = Pace(100.0)
    pace.see(2, 110.0)
    assert pace.words(10) is None
    pace.see(4, 120.0)
    assert pace.words(8) == ("12/min", "27s to 1m 20s left")
    assert pace.words(0) is None


def test_the_pace_is_that_of_the_last_minutes():
    pace = Pace(0.0)
    for second in range(0, 3601, 10):
        pace.see(second // 10, float(second))
    rate, left = pace.words(600)
    assert (rate, left[:6]) == ("6.0/min", "1h 24m")
    for second in range(3610, 4211, 10):
        pace.see(360 + (second - 3600) * 10, float(second))
    assert pace.words(600)[0] == "10/s"


def test_a_pace_while_the_clock_stands_still_is_none():
    pace = Pace(100.0)
    pace.see(5, 100.0)
    pace.see(7, 90.0)
    assert pace.words(10) is None


def test_a_clock_that_runs_behind_shows_no_negative_times():
    assert ago(200.0, 100.0) == "0s ago"
    assert status_text(JOB, 0.0) == "k7m2q9x fit.R  running 0s  1 CPU"


def test_numbers_are_short():
    assert (number_of(1, "file"), number_of(5000, "file")) == ("1 file", "5,000 files")
    assert (span(59.4), span(3700)) == ("59s", "1h 1m")


def test_the_widest_columns_become_narrower_until_a_row_fits():
    assert narrowed([4, 60_000, 9, 90], [4, 6, 9, 6], 100) == [4, 43, 9, 43]
    assert narrowed([4, 60_000, 9, 20], [4, 6, 9, 6], 100) == [4, 67, 9, 20]
    assert narrowed([4, 20], [4, 5], 80) == [4, 20]
    assert narrowed([30, 30, 90], [25, 5, 5], 40) == [25, 9, 9]
    assert (shortened("abcdef", 6), shortened("abcdefg", 6)) == ("abcdef", "abcde…")


def test_a_table_that_nobody_watches_keeps_long_cells_whole():
    assert table(("a", "b"), [("x" * 300, "y")]).splitlines()[1] == "x" * 300 + "  y"


def test_a_table_keeps_each_row_on_one_line():
    assert table(("id", "name"), [("a", "two\nlines"), ("bbb", "x")]) == "id   name\na    two lines\nbbb  x"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("fit.R", 5),
        ("モデル.R", 8),
        ("모델", 4),
        ("\uff46", 2),
        ("é", 1),
        ("e\u0301", 1),
        ("Größe…", 6),
        ("🚀", 2),
    ],
)
def test_a_text_needs_the_columns_that_a_terminal_gives_it(text, columns):
    assert breadth(text) == columns


def test_wide_letters_are_cut_and_padded_by_the_columns_that_they_need():
    assert [shortened("モデル.R", width) for width in (8, 7, 6, 3, 2)] == [
        "モデル.R", "モデル…", "モデ…", "モ…", "…",
    ]  # fmt: skip
    assert table(("名前", "b"), [("モデル", "y"), ("x", "z")]) == "名前    b\nモデル  y\nx       z"
    parts = [Part(text="id"), Part(text="長い名前のモデル", least=4, gap=" "), Part(text="running")]
    assert fitted(parts, 20) == "id 長い名…  running"


def test_results_that_belong_to_another_machine_ask_where_to_go():
    with pytest.raises(PlaybackError) as caught:
        home_of(JOB)
    assert caught.value.sentence == "The results of k7m2q9x belong to /p on elsewhere."
    assert caught.value.next_step == "Say where they should go: offload collect k7m2q9x --to DIR"
