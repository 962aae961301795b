"""Events and logs as they come: resumed, followed, ended."""

from __future__ import annotations

import threading

import pytest

from fakes.service import caught, frame, read_all, until
from offload.errors import (
    LeaseLostError,
    ProtocolError,
    ResultsGoneError,
    TaskNotFoundError,
    UnauthorizedError,
)
from offload.store import jobs
from offload.wire.api import EventView
from offload.wire.codec import decode
from offload.wire.frames import Frame, Stream, decode_frames
from offload.wire.runner_protocol import LEASE_HEADER


def events_of(service, path: str, last: int = 0) -> list[EventView]:
    with service.connect() as connection:
        answer = connection.request("GET", path, headers={"Last-Event-ID": str(last)})
        lines = read_all(answer).splitlines()
    return [decode(line[6:], EventView) for line in lines if line.startswith(b"data: ")]


def frames_of(service, job: str, query: str = "") -> list[Frame]:
    with service.connect() as connection:
        return list(decode_frames(connection.request("GET", f"/v1/jobs/{job}/logs{query}").chunks()))


def texts(frames: list[Frame]) -> list[bytes]:
    return [one.data for one in frames if one.stream is not Stream.PING]


@pytest.fixture
def job(service) -> str:
    return service.submit(array="1-2").id


@pytest.fixture
def runner(service, job):
    runner = service.runner(job)
    runner.begin()
    return runner


def test_the_events_of_a_job_end_with_the_job_and_resume_after_any_of_them(service, job, runner):
    runner.work()
    seen = events_of(service, f"/v1/jobs/{job}/events")
    kinds = [event.kind for event in seen]
    assert kinds[0] == "submitted"
    assert kinds[-1] == "job_ended"
    assert kinds.count("task_ended") == 2
    for event in seen:
        later = [one for one in seen if one.id > event.id]
        assert events_of(service, f"/v1/jobs/{job}/events", last=event.id) == later


def test_a_follower_sees_events_when_they_happen_and_is_let_go_at_the_end(service, job, runner):
    seen: list[EventView] = []
    follower = threading.Thread(target=lambda: seen.extend(events_of(service, f"/v1/jobs/{job}/events")))
    follower.start()
    runner.work()
    follower.join(20)
    assert not follower.is_alive()
    assert [event.kind for event in seen][-1] == "job_ended"


def test_events_of_some_kinds_are_told_alone_and_the_stream_still_ends_with_the_job(service, job, runner):
    runner.work()
    path = f"/v1/jobs/{job}/events?kind=submitted&kind=task_ended"
    assert [event.kind for event in events_of(service, path)] == ["submitted", "task_ended", "task_ended"]


def test_events_of_all_jobs_come_in_order(service, job):
    other = service.submit(key="other").id
    seen = events_of(service, "/v1/events?follow=false")
    assert [event.job for event in seen if event.kind == "submitted"] == [job, other]
    assert [event.id for event in seen] == sorted(event.id for event in seen)


def test_streams_end_when_the_launcher_ends(service, job, runner):
    followers = [
        threading.Thread(target=lambda: events_of(service, "/v1/events")),
        threading.Thread(target=lambda: events_of(service, f"/v1/jobs/{job}/events")),
        threading.Thread(target=lambda: frames_of(service, job, "?follow=true")),
        threading.Thread(target=lambda: runner.lease(0, ())),
    ]
    for follower in followers:
        follower.start()
    until(lambda: service.launcher.idle.asking == len(followers))
    service.restart()
    for follower in followers:
        follower.join(20)
        assert not follower.is_alive()


def test_logs_keep_order_and_bytes(service, job, runner):
    (lease,) = runner.lease(1).leases
    printed = [b"a\n", b"\0\xff", b"no newline", b""]
    assert runner.log(lease, *printed).next_seq == 4
    found = frames_of(service, job)
    assert texts(found) == printed
    assert [one.seq for one in found] == [0, 1, 2, 3]


def test_frames_that_are_sent_again_are_kept_once(service, job, runner):
    (lease,) = runner.lease(1).leases
    runner.log(lease, b"a", b"b")
    service.restart()
    assert runner.log(lease, b"a", b"b", b"c").next_seq == 3
    assert texts(frames_of(service, job)) == [b"a", b"b", b"c"]


def test_a_gap_is_refused_and_what_is_before_it_is_kept(service, job, runner):
    (lease,) = runner.lease(1).leases
    assert runner.log(lease, b"c", first=2).next_seq == 0
    body = frame(lease, 0, b"a").encode() + frame(lease, 5, b"f").encode()
    assert runner.log_bytes(lease, body).next_seq == 1
    assert texts(frames_of(service, job)) == [b"a"]


def test_a_torn_last_frame_is_cut_off_after_a_crash(service, job, runner):
    (lease,) = runner.lease(1).leases
    runner.log(lease, b"a")
    service.stop()
    path = service.config.data / "logs" / f"{job}.frames"
    whole = path.read_bytes()
    for torn in (frame(lease, 1, b"bcd").encode()[:-1], frame(lease, 1, b"").encode()[:5], bytes(100)):
        path.write_bytes(whole + torn)
        service.start()
        assert texts(frames_of(service, job)) == [b"a"]
        assert runner.log(lease, b"x", first=1).next_seq == 2
        assert texts(frames_of(service, job)) == [b"a", b"x"]
        service.stop()
    service.start()


def test_the_end_of_a_log_is_its_last_whole_frames_and_one_in_any_case(service, job, runner):
    (lease,) = runner.lease(1).leases
    assert frames_of(service, job, "?tail=1") == []
    runner.log(lease, *(b"%03d" % number for number in range(100)))
    size = len(frame(lease, 0, b"000").encode())
    assert texts(frames_of(service, job, f"?tail={3 * size - 1}&task={lease.task}")) == [b"098", b"099"]
    assert texts(frames_of(service, job, "?tail=1")) == [b"099"]
    assert len(frames_of(service, job, f"?tail={1000 * size}")) == 100


def test_a_follower_from_the_end_misses_nothing_that_comes(service, job, runner):
    (lease,) = runner.lease(1).leases
    runner.log(lease, b"a", b"b")
    with service.connect() as connection:
        answer = connection.request("GET", f"/v1/jobs/{job}/logs?tail=1&follow=true")
        seen = (one.data for one in decode_frames(answer.chunks()) if one.stream is not Stream.PING)
        assert next(seen) == b"b"
        runner.log(lease, b"c", b"d", first=2)
        assert [next(seen), next(seen)] == [b"c", b"d"]


def test_the_log_of_one_task_and_a_log_from_a_position(service, job, runner):
    (one,) = runner.lease(1).leases
    other = service.runner(job, 1)
    other.begin()
    (two,) = other.lease(1).leases
    runner.log(one, b"1a")
    other.log(two, b"2a")
    runner.log(one, b"1b", first=1)
    assert texts(frames_of(service, job)) == [b"1a", b"2a", b"1b"]
    assert texts(frames_of(service, job, "?task=1")) == [b"1a", b"1b"]
    assert texts(frames_of(service, job, f"?after={frame(one, 0, b'1a').size}")) == [b"2a", b"1b"]
    assert texts(frames_of(service, job, "?after=100000")) == []
    assert type(caught(lambda: frames_of(service, job, "?after=5"))) is ProtocolError
    assert type(caught(lambda: frames_of(service, job, "?task=9"))) is TaskNotFoundError


def test_a_follower_of_logs_gets_everything_and_is_let_go_at_the_end(service, job, runner):
    seen: list[bytes] = []
    follower = threading.Thread(target=lambda: seen.extend(texts(frames_of(service, job, "?follow=true"))))
    follower.start()
    printed: list[bytes] = []
    for _ in (1, 2):
        (lease,) = runner.lease(1).leases
        for seq in range(50):
            printed.append(f"{lease.task} {seq}".encode())
            runner.log(lease, printed[-1], first=seq)
        runner.complete(lease.token)
    follower.join(20)
    assert not follower.is_alive()
    assert seen == printed


def test_large_output_in_one_request_is_kept_whole(service, job, runner):
    (lease,) = runner.lease(1).leases
    pieces = [bytes([n]) * (1 << 20) for n in range(12)]
    assert runner.log(lease, *pieces).next_seq == 12
    assert texts(frames_of(service, job)) == pieces


def test_only_who_holds_the_lease_may_print(service, job, runner):
    (lease,) = runner.lease(1).leases
    stranger = service.runner(service.submit(key="other").id)
    assert type(caught(lambda: stranger.log(lease, b"x"))) is UnauthorizedError
    foreign = frame(lease, 0, b"x").encode()
    runner.complete(lease.token)
    assert type(caught(lambda: runner.log_bytes(lease, foreign))) is LeaseLostError
    (second,) = runner.lease(1).leases
    assert type(caught(lambda: runner.log_bytes(second, foreign))) is ProtocolError
    assert type(caught(lambda: runner.log_bytes(second, b"junk" * 20))) is ProtocolError
    assert frames_of(service, job) == []


def test_removed_logs_say_that_they_are_gone(service, job, runner):
    runner.work()
    service.launcher.store.run_now(jobs.remove_results, job, 1.0)
    assert type(caught(lambda: frames_of(service, job))) is ResultsGoneError
    kinds = [event.kind for event in events_of(service, f"/v1/jobs/{job}/events")]
    assert kinds[-2:] == ["job_ended", "results_removed"]


def test_a_request_without_a_lease_is_refused(service, runner):
    with service.connect(runner.token) as connection:
        error = caught(lambda: connection.request("POST", "/runner/v1/logs", b""))
        assert LEASE_HEADER.lower() in error.sentence.lower()


def test_streams_end_at_rest_if_that_is_asked_for_with_all_there_was_until_then(service):
    job = service.submit(array="1-3").id
    runner = service.runner(job)
    runner.begin()
    (lease,) = runner.lease(1).leases
    service.call("POST", f"/v1/jobs/{job}/pause")
    read: dict[str, bytes] = {}

    def follow(what: str) -> None:
        with service.connect() as connection:
            path = f"/v1/jobs/{job}/{what}?follow=true&rest=true"
            read[what] = read_all(connection.request("GET", path))

    threads = [threading.Thread(target=follow, args=(what,)) for what in ("logs", "events")]
    for thread in threads:
        thread.start()
    runner.log(lease, b"its last words")  # a task runs: the job isn't at rest yet
    runner.complete(lease.token)
    for thread in threads:
        thread.join(20)
    assert b"its last words" in read["logs"]
    assert b'"kind":"paused"' in read["events"]
    assert b'"kind":"task_ended"' in read["events"]
