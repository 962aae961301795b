"""A job's log on disk: full disks, torn ends, and what is found out by walking it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.errors import DiskFullError, ProtocolError
from offload.launcher.log_file import LogFile, only, read_frames
from offload.wire.frames import Frame, Stream, decode_frames


def frame(seq: int, data: bytes = b"x", task: int = 1, attempt: int = 1) -> bytes:
    return Frame(Stream.STDOUT, attempt, task, seq, 0, data).encode()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 kB; a real one, so that it is really full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(small_disk):
    log = LogFile.open(small_disk / "job.frames", ())
    log.append(1, 1, frame(0, b"a" * 40_000))
    with pytest.raises(DiskFullError):
        log.append(1, 1, frame(1, b"b" * 40_000))
    assert log.path.stat().st_size == log.size == len(frame(0, b"a" * 40_000))
    assert log.next_seq == {(1, 1): 1}
    log.append(1, 1, frame(1, b"small"))
    found = decode_frames([read_frames(log.path, 0, log.size)])
    assert [one.data[:5] for one in found] == [b"aaaaa", b"small"]


def test_what_is_kept_is_found_out_again(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", {(1, 1), (2, 3)})
    for seq in range(100):
        log.append(1, 1, frame(seq, b"." * 30_000))
        log.append(2, 3, frame(seq, b"", 2, 3))
    again = LogFile.open(tmp_path / "job.frames", {(1, 1), (2, 3)})
    assert (again.size, again.next_seq) == (log.size, {(1, 1): 100, (2, 3): 100})


def test_attempts_that_have_ended_are_not_kept_in_mind(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", ())
    tasks = 0
    while not log.has_many:
        tasks += 1
        log.append(tasks, 1, frame(0, task=tasks))
    log.forget_all_but({(tasks, 1), (tasks + 1, 1)})
    assert log.next_seq == {(tasks, 1): 1}
    assert not log.has_many
    assert LogFile.open(log.path, {(1, 1)}).next_seq == {(1, 1): 1}


def test_the_ends_of_several_attempts_are_kept_once(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", {(1, 1), (2, 3)})
    log.append(1, 1, frame(0) + frame(1))
    ends = {(1, 1): frame(1) + frame(2), (2, 1): frame(0, task=2)}
    for _ in range(2):  # the answer to the first call got lost
        log.append_ends(ends)
    assert log.path.read_bytes() == frame(0) + frame(1) + frame(2) + frame(0, task=2)
    assert LogFile.open(log.path, ends).next_seq == log.next_seq == {(1, 1): 3, (2, 1): 1}


def test_an_end_is_kept_even_if_a_crash_took_what_came_before_it(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", {(1, 1), (2, 3)})
    log.append_ends({(1, 1): frame(7)})
    assert (log.path.read_bytes(), log.next_seq) == (frame(7), {(1, 1): 8})


def test_ends_that_are_of_other_attempts_leave_nothing(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", ())
    with pytest.raises(ProtocolError):
        log.append_ends({(1, 1): frame(0), (2, 1): frame(0, task=3)})
    assert (log.size, log.next_seq) == (0, {})


def test_a_ping_among_the_last_frames_is_not_stored(tmp_path):
    log = LogFile.open(tmp_path / "job.frames", ())
    log.append_ends({(1, 1): Frame(Stream.PING, 0, 0, 9, 0, b"").encode() + frame(0)})
    assert log.path.read_bytes() == frame(0)


def test_on_a_full_disk_those_ends_are_kept_that_find_room(small_disk):
    log = LogFile.open(small_disk / "job.frames", ())
    ends = {(task, 1): frame(0, b"." * size, task=task) for task, size in ((1, 10), (2, 80_000), (3, 10))}
    assert log.append_ends(ends) == {(1, 1), (3, 1)}
    assert log.next_seq == {(1, 1): 1, (3, 1): 1}
    assert log.path.read_bytes() == ends[1, 1] + ends[3, 1]


@pytest.mark.parametrize("torn", [b"\xf5", frame(1)[:-1], frame(1)[:28], b"\0" * 4096, b"rubbish" * 9])
def test_a_torn_end_is_cut_off(tmp_path, torn):
    path = tmp_path / "job.frames"
    path.write_bytes(frame(0) + torn)
    log = LogFile.open(path, {(1, 1)})
    assert (log.size, log.next_seq) == (len(frame(0)), {(1, 1): 1})
    assert path.read_bytes() == frame(0)


def test_bytes_cut_anywhere_are_kept_up_to_the_last_whole_frame(tmp_path):
    body = b"".join(frame(seq, b"data") for seq in range(3))
    for cut in range(len(body)):
        log = LogFile(tmp_path / f"{cut}.frames")
        looked_at = log.append(1, 1, body[:cut])
        assert looked_at == len(frame(0, b"data")) * (cut // len(frame(0, b"data")))
        log.append(1, 1, body[looked_at:])
        assert log.path.read_bytes() == body


def test_frames_of_another_attempt_are_refused_whole(tmp_path):
    log = LogFile(tmp_path / "job.frames")
    with pytest.raises(ProtocolError):
        log.append(1, 1, frame(0) + frame(0, attempt=2))
    assert not log.path.exists()
    assert log.next_seq == {}


def test_pings_are_not_kept(tmp_path):
    log = LogFile(tmp_path / "job.frames")
    log.append(1, 1, Frame(Stream.PING, 0, 0, 0, 0, b"").encode())
    assert log.size == 0


def test_reading_stops_at_the_limit_and_between_frames(tmp_path):
    path = tmp_path / "job.frames"
    path.write_bytes(frame(0) + frame(1))
    assert read_frames(path, 0, len(frame(0)) + 5) == frame(0)
    assert read_frames(path, len(frame(0)), 10_000) == frame(1)
    assert read_frames(tmp_path / "none", 0, 10) == b""
    with pytest.raises(ProtocolError):
        read_frames(path, 3, 1000)


def test_one_task_is_picked_out(tmp_path):
    body = frame(0, task=1) + frame(0, task=2) + frame(1, task=1)
    assert only(body, 1) == frame(0, task=1) + frame(1, task=1)
    assert only(body, 3) == b""
