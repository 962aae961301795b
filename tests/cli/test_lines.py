"""Output of many tasks in one stream."""

from hypothesis import given
from hypothesis import strategies as st

from offload.cli.lines import LONGEST, WholeLines
from offload.wire.frames import Frame, Stream


def frame(task: int, data: bytes, *, stream: Stream = Stream.STDOUT, attempt: int = 1) -> Frame:
    return Frame(stream, attempt, task, 0, 0, data)


def test_lines_of_different_tasks_stay_whole():
    lines = WholeLines(prefix=True)
    shown = [lines.feed(frame(1, b"a")), lines.feed(frame(2, b"x\ny")), lines.feed(frame(1, b"b\n"))]
    assert shown == [b"", b"[2] x\n", b"[1] ab\n"]
    assert list(lines.rest()) == [(Stream.STDOUT, b"[2] y\n")]


def test_without_a_prefix_lines_are_as_they_were_printed():
    assert WholeLines(prefix=False).feed(frame(7, b"a\r\n\nb\n")) == b"a\r\n\nb\n"


def test_a_new_attempt_does_not_continue_the_line_of_the_one_before():
    lines = WholeLines(prefix=True)
    lines.feed(frame(1, b"half"))
    assert lines.feed(frame(1, b"new\n", attempt=2)) == b"[1] half\n[1] new\n"


def test_a_line_without_an_end_does_not_fill_memory():
    lines = WholeLines(prefix=False)
    data = b"x" * (LONGEST + 1)
    assert lines.feed(frame(1, data)) == data + b"\n"
    assert list(lines.rest()) == []


@given(st.lists(st.tuples(st.integers(1, 3), st.binary(max_size=6)), max_size=30))
def test_no_byte_of_any_task_is_lost_or_reordered(pieces):
    lines = WholeLines(prefix=False)
    whole: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
    shown: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
    for task, data in pieces:
        whole[task] += data
        shown[task] += lines.feed(frame(task, data))
    rest = b"".join(data for _, data in lines.rest())
    endings = {
        task: data + b"\n" if data and not data.endswith(b"\n") else data for task, data in whole.items()
    }
    assert b"".join(endings[task][len(shown[task]) :] for task in (1, 2, 3)) == rest
    assert all(endings[task].startswith(shown[task]) for task in (1, 2, 3))
