"""Following output and events across broken connections."""

import pytest

from fakes.streaming_launcher import JOB, StreamingLauncher
from offload.client.api import Api
from offload.client.launcher import Endpoint
from offload.client.streams import follow_events, follow_logs
from offload.errors import LauncherUnreachableError
from offload.model.states import State
from offload.wire.api import EventView
from offload.wire.frames import Frame, Stream


@pytest.fixture
def launcher():
    with StreamingLauncher() as running:
        running.frames = [
            Frame(Stream.STDOUT if seq % 3 else Stream.STDERR, 1, seq % 2 + 1, seq, 0, b"line %d\n" % seq)
            for seq in range(20)
        ]
        running.events = [EventView(id=number, job=JOB, at=0.0, kind="k") for number in range(1, 9)]
        yield running


@pytest.fixture
def api(launcher):
    with Api(Endpoint(launcher.address)) as opened:
        yield opened


@pytest.mark.parametrize("cut", [0, 1, 28, 40, 56, 57, 100, 333])
def test_a_log_that_breaks_off_anywhere_continues_without_loss_or_repetition(launcher, api, cut):
    launcher.cuts = [cut, cut, cut]
    assert list(follow_logs(api, JOB)) == launcher.frames
    assert len(launcher.starts) == 5  # three broken, one whole, one to see that nothing came after


def test_a_log_of_one_task_is_read_again_after_a_break_without_repetition(launcher, api):
    launcher.cuts = [100, 250]
    wanted = [frame for frame in launcher.frames if frame.task == 2]
    assert list(follow_logs(api, JOB, task=2)) == wanted
    assert {start for start, _ in launcher.starts} == {0}


def test_a_log_can_start_in_the_middle(launcher, api):
    after = sum(frame.size for frame in launcher.frames[:7])
    assert list(follow_logs(api, JOB, after=after)) == launcher.frames[7:]


def test_a_stream_that_ends_before_the_job_is_opened_again(launcher, api):
    late = launcher.frames[10:]
    del launcher.frames[10:]
    stream = follow_logs(api, JOB)
    first = [next(stream) for _ in range(10)]
    launcher.frames += late
    assert first + list(stream) == launcher.frames


def test_a_launcher_elsewhere_that_was_there_before_is_waited_for(launcher, api):
    stream = follow_logs(api, JOB)
    launcher.cuts = [100]
    first = next(stream)
    launcher.refuse = 4
    assert [first, *stream] == launcher.frames


def test_a_launcher_elsewhere_that_never_answered_is_an_error():
    with Api(Endpoint("http://127.0.0.1:1")) as api, pytest.raises(LauncherUnreachableError):
        next(follow_logs(api, JOB))


def test_without_following_a_log_is_read_once(launcher, api):
    assert list(follow_logs(api, JOB, follow=False)) == launcher.frames
    assert len(launcher.starts) == 1


def test_events_resume_after_the_last_one_seen(launcher, api):
    launcher.cuts = [300]
    assert [event.id for event in follow_events(api, JOB)] == list(range(1, 9))
    assert launcher.last_event_ids[0] == "0"
    assert int(launcher.last_event_ids[1]) > 0


def test_the_events_of_an_ended_job_are_all_told(launcher, api):
    launcher.state = State.SUCCEEDED
    assert [event.id for event in follow_events(api, JOB, after=3)] == [4, 5, 6, 7, 8]
