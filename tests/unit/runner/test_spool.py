from __future__ import annotations

import os
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.unprivileged import run_on_a_full_disk
from offload.runner.spool import Spool
from offload.wire.frames import HEADER_SIZE, MAX_PAYLOAD, Frame, Stream, decode_frames


def new_spool(directory: Path, **options) -> Spool:
    spool = Spool(directory, task=1, attempt=1, **options)
    spool.open()
    return spool


def frames(raw: bytes | None) -> list[Frame]:
    return list(decode_frames([raw or b""]))


def drain(spool: Spool, limit: int = 1 << 20) -> list[Frame]:
    spool.seal()
    got = []
    while batch := spool.batch(limit):
        got += frames(batch)
        spool.acknowledge(got[-1].seq + 1)
    return got


def test_frames_come_out_numbered_in_the_order_they_went_in(tmp_path):
    spool = Spool(tmp_path, task=7, attempt=2)
    spool.open()
    spool.append(Stream.STDOUT, b"one")
    spool.append(Stream.STDERR, b"two")
    got = drain(spool)
    assert [(one.stream, one.task, one.attempt, one.seq, one.data) for one in got] == [
        (Stream.STDOUT, 7, 2, 0, b"one"),
        (Stream.STDERR, 7, 2, 1, b"two"),
    ]


def test_what_was_not_acknowledged_is_given_again_from_there(tmp_path):
    spool = new_spool(tmp_path)
    for letter in b"abcd":
        spool.append(Stream.STDOUT, bytes([letter]))
    assert [one.data for one in frames(spool.batch())] == [b"a", b"b", b"c", b"d"]
    spool.acknowledge(2)
    assert [one.data for one in frames(spool.batch())] == [b"c", b"d"]
    spool.acknowledge(1)
    assert [one.data for one in frames(spool.batch())] == [b"c", b"d"]


def test_a_small_rest_is_given_whole_and_a_large_one_not_at_all(tmp_path):
    spool = new_spool(tmp_path, segment=40)  # two frames each
    for letter in b"abcde":
        spool.append(Stream.STDOUT, bytes([letter]))
    spool.acknowledge(1)
    size = 4 * (HEADER_SIZE + 1)
    assert [one.data for one in frames(spool.rest(size))] == [b"b", b"c", b"d", b"e"]
    assert spool.rest(size - 1) is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.binary(max_size=300), max_size=40),
    st.integers(1, 1000),
    st.integers(1, 2000),
)
def test_nothing_is_lost_whatever_the_sizes_of_segments_and_batches(tmp_path_factory, pieces, segment, limit):
    directory = tmp_path_factory.mktemp("spool")
    spool = new_spool(directory, segment=segment)
    for piece in pieces:
        spool.append(Stream.STDOUT, piece)
    assert [one.data for one in drain(spool, limit)] == pieces
    assert len(os.listdir(directory)) <= 2
    spool.abandon()
    assert os.listdir(directory) == []


def test_a_full_spool_holds_the_writer_until_the_launcher_has_taken_something(tmp_path):
    spool = new_spool(tmp_path, bound=100)
    for _ in range(3):
        spool.append(Stream.STDOUT, b"x" * (50 - HEADER_SIZE))
        if spool.waiting >= 100:
            break
    writer = threading.Thread(target=spool.append, args=(Stream.STDOUT, b"late"))
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    spool.acknowledge(1)
    writer.join(10)
    assert not writer.is_alive()
    assert drain(spool)[-1].data == b"late"


def test_abandoning_frees_a_waiting_writer_and_a_waiting_reader(tmp_path):
    full = new_spool(tmp_path / "full", bound=10)
    full.append(Stream.STDOUT, b"x" * 10)
    empty = new_spool(tmp_path / "empty")
    writer = threading.Thread(target=full.append, args=(Stream.STDOUT, b"late"))
    got = []
    reader = threading.Thread(target=lambda: got.append(empty.batch()))
    for thread in (writer, reader):
        thread.start()
    full.abandon()
    empty.abandon()
    for thread in (writer, reader):
        thread.join(10)
        assert not thread.is_alive()
    assert got == [None]


FULL = """
import contextlib, os
from pathlib import Path
from offload.runner.spool import Spool
from offload.wire.frames import MAX_PAYLOAD, Stream, decode_frames

spool = Spool(Path("/mnt/spool"), task=1, attempt=1)
spool.open()
with contextlib.suppress(OSError), open("/mnt/results", "wb") as file:
    while True:
        file.write(bytes(1 << 16))
assert os.statvfs("/mnt").f_bavail == 0
for number in range(5):
    spool.append(Stream.STDOUT, bytes([number]) * MAX_PAYLOAD)
    (frame,) = decode_frames([spool.batch()])
    assert frame.data == bytes([number]) * MAX_PAYLOAD
    spool.acknowledge(number + 1)
"""


def test_a_script_that_filled_the_disk_can_still_print(tmp_path):
    done = run_on_a_full_disk(FULL, megabytes=3)
    assert done.returncode == 0, done.stderr


def test_the_space_that_is_set_aside_may_be_left_for_the_next_attempt(tmp_path):
    reserve = tmp_path / "reserve"
    for attempt in (1, 2):
        spool = Spool(tmp_path / "spool", task=1, attempt=attempt, reserve=reserve)
        spool.open()
        spool.append(Stream.STDOUT, b"hello")
        assert reserve.stat().st_blocks * 512 > MAX_PAYLOAD
        spool.abandon()
        assert os.listdir(tmp_path / "spool") == []
    assert reserve.exists()
