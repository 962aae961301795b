"""Without a terminal: few lines on stderr, none of a short job, and the script's own bytes."""

import json
from dataclasses import replace

import pytest

from fakes.shell import Shell
from offload.cli.news import News
from offload.model.counts import Counts
from offload.model.reasons import Reason, ReasonCode
from offload.model.spec import Spec
from offload.model.states import State, Target
from offload.wire.api import JobView

SPEC = Spec(command=("sim",), name="sim", cluster="local", snapshot="", home="file://elsewhere/p")
JOB = JobView(
    id="k7m2q9x", user="ann", spec=SPEC, state=State.RUNNING, target=Target.DONE,
    counts=Counts(running=1), created=0.0, started=1.0,
)  # fmt: skip
ARRAY = replace(JOB, spec=replace(SPEC, is_array=True))
WAITS = replace(JOB, state=State.PENDING, started=None)


@pytest.fixture
def shell(guest):
    return guest


def waits(code: ReasonCode, sentence: str = "It waits.") -> JobView:
    return replace(WAITS, reason=Reason(code=code, sentence=sentence))


def done(ended: int, of: int) -> JobView:
    return replace(ARRAY, counts=Counts(succeeded=ended, running=1, pending=of - ended - 1))


def test_why_a_job_waits_is_said_once_for_each_reason():
    news = News(0)
    full = waits(ReasonCode.WAITING_FOR_CAPACITY, "It waits for 4 CPUs.")
    fuller = waits(ReasonCode.WAITING_FOR_CAPACITY, "It waits for 3 CPUs.")
    node = waits(ReasonCode.WAITING_FOR_NODE)
    assert [news.due(job, 10) for job in (WAITS, full, fuller, node, full, node)] == [
        False, True, False, True, False, False,
    ]  # fmt: skip


def test_one_task_that_runs_is_no_news():
    news = News(0)
    assert not any(news.due(JOB, now) for now in range(10, 100_000, 10))


def test_an_array_is_told_of_at_each_tenth_and_at_most_once_a_minute():
    news = News(0)
    assert news.due(done(1, 1000), 10)
    assert not news.due(done(500, 1000), 60)
    assert news.due(done(500, 1000), 70)
    assert news.due(done(600, 1000), 200)


def test_an_array_that_hardly_moves_is_told_of_after_ever_longer_silence_up_to_an_hour():
    news = News(0)
    said = [now for now in range(10, 20_000, 10) if news.due(done(1, 1_000_000), now)]
    assert said == [10, 70, 140, 280, 560, 1120, 2240, 4480, 8080, 11680, 15280, 18880]


def test_a_launcher_that_is_away_is_told_of_once_each_time():
    news = News(0)
    assert [news.due(job, now) for now, job in enumerate((None, None, JOB, None, None))] == [
        True, False, False, True, False,
    ]  # fmt: skip


def test_a_short_array_adds_no_word_to_what_it_prints(shell: Shell):
    ended = shell.offload("run", "--array", "1-3", "--", "sh", "-c", "echo out; echo err >&2")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"out\n" * 3, b"err\n" * 3)


def test_an_array_that_takes_its_time_is_told_of_unless_quiet_was_asked(shell: Shell):
    words = ("--cpus", "0.25", "--array", "1-2", "--", "sh", "-c", "echo out; sleep 11")
    loud, quiet = (shell.start("run", *flags, *words) for flags in ((), ("--quiet",)))
    with loud, quiet:
        (out, err), nothing = loud.communicate(timeout=60), quiet.communicate(timeout=60)
    assert out == b"out\n" * 2
    (line,) = err.decode().splitlines()
    assert line.startswith("offload: ")
    assert "0 of 2 tasks done" in line
    assert nothing == (b"out\n" * 2, b"")


def test_a_job_that_has_no_room_says_why_it_waits_and_then_just_what_it_prints(shell: Shell):
    (cluster,) = json.loads(shell.text("clusters", "--json"))
    every = ("--cpus", f"{cluster['capacity']['cpus']:g}")
    first = shell.text("run", "-d", *every, "--", "sleep", "60").strip()
    with shell.start("run", *every, "--", "sh", "-c", "echo out; printf err >&2") as process:
        line = process.stderr.readline().decode()
        shell.text("cancel", first)
        out, err = process.communicate(timeout=60)
    assert line.startswith("offload: ")
    assert "waiting 10s  " in line
    assert "CPU" in line.partition("waiting")[2]
    assert (out, err) == (b"out\n", b"err")
