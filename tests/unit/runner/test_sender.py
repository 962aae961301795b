"""What is sent at once, what waits for the end of a short task, and that nobody waits in vain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.launcher import TOKEN
from offload.runner.patience import Patience
from offload.runner.sender import Delivery, Sender
from offload.runner.spool import Spool
from offload.wire.frames import Stream, decode_frames

TAKES_ITS_TIME = 600.0
"""Seconds that output of a short task waits here: for ever, as far as a test is concerned."""


@pytest.fixture
def sender(launcher, tmp_path) -> Iterator[Sender]:
    one = Sender(Patience(launcher.address, TOKEN, directory=tmp_path), dismissed=lambda: None)
    one.start()
    yield one
    one.close()


@pytest.fixture
def patient(monkeypatch) -> None:
    monkeypatch.setattr("offload.runner.sender._YOUNG", TAKES_ITS_TIME)


def follow(sender: Sender, directory: Path, task: int = 1, *, is_short: bool = True) -> Delivery:
    spool = Spool(directory / str(task), task=task, attempt=1)
    spool.open()
    return sender.follow(spool, f"lease-{task}-1", lost=lambda: None, is_short=is_short)


def end(delivery: Delivery) -> bytes:
    delivery.spool.seal()
    frames = list(decode_frames([delivery.last_frames()]))
    delivery.spool.abandon()
    return b"".join(frame.data for frame in frames)


def sent(launcher) -> int:
    return launcher.requests.count("POST /logs")


def test_what_a_short_task_printed_goes_along_with_its_outcome(launcher, sender, patient, tmp_path):
    for task in (1, 2):
        delivery = follow(sender, tmp_path, task)
        delivery.spool.append(Stream.STDOUT, b"one")
        delivery.spool.append(Stream.STDERR, b"two")
        assert end(delivery) == b"onetwo"
    sender.close()
    assert sent(launcher) == 0


def test_more_than_fits_beside_an_outcome_is_sent_at_once(launcher, sender, patient, tmp_path):
    end(follow(sender, tmp_path, 1))
    delivery = follow(sender, tmp_path, 2)
    delivery.spool.append(Stream.STDOUT, b"a little")
    delivery.spool.append(Stream.STDOUT, b"." * 100_000)
    launcher.wait_for(lambda: len(launcher.output(task=2)) == 100_008)
    assert end(delivery) == b""


def test_a_task_that_is_not_thought_to_be_short_does_not_wait_behind_one_that_was(
    launcher, sender, patient, tmp_path
):
    short = follow(sender, tmp_path, 1)
    short.spool.append(Stream.STDOUT, b"short")
    assert end(short) == b"short"
    delivery = follow(sender, tmp_path, 2, is_short=False)
    delivery.spool.append(Stream.STDOUT, b"soon")
    launcher.wait_for(lambda: launcher.output(task=2) == b"soon")
    assert end(delivery) == b""


def test_output_of_a_task_that_takes_longer_than_thought_is_sent_while_it_runs(launcher, sender, tmp_path):
    delivery = follow(sender, tmp_path)
    delivery.spool.append(Stream.STDOUT, b"still here")
    launcher.wait_for(lambda: launcher.output() == b"still here")
    assert end(delivery) == b""


def test_output_that_nobody_wants_any_more_keeps_nobody_waiting(launcher, sender, patient, tmp_path):
    delivery = follow(sender, tmp_path)
    delivery.spool.append(Stream.STDOUT, b"in vain")
    delivery.spool.abandon()
    delivery.wait()
    assert sent(launcher) == 0


def test_what_no_outcome_can_bring_along_is_sent_before_the_end(launcher, sender, patient, tmp_path):
    """The container of a task was killed, and all that is left to tell is what it printed."""
    delivery = follow(sender, tmp_path)
    delivery.spool.append(Stream.STDOUT, b"last words")
    delivery.spool.seal()
    delivery.wait()
    assert launcher.output() == b"last words"
