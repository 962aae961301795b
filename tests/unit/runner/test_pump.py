from __future__ import annotations

import os
import threading

import pytest

from offload.runner.pump import Pump
from offload.runner.spool import Spool
from offload.wire.frames import Stream, decode_frames


@pytest.fixture
def spool(tmp_path):
    opened = Spool(tmp_path / "spool", task=1, attempt=1)
    opened.open()
    yield opened
    opened.abandon()


def test_a_line_that_is_written_in_pieces_is_one_frame(spool):
    pump, rested = Pump(), threading.Event()

    def rest(_: float) -> None:
        if not rested.is_set():
            os.write(script, b" 1\n")
            rested.set()

    pump.rest = rest
    pump.start()
    with pump.serve(spool) as flow:
        script = flow.open(Stream.STDOUT)
        os.write(script, b"[1]")
        assert rested.wait(30)
        os.close(script)
    pump.close()
    assert [frame.data for frame in decode_frames([spool.batch() or b""])] == [b"[1] 1\n"]


def test_a_flow_that_ends_is_not_kept_waiting():
    pump = Pump()
    pump.wake()
    pump.rest(3600)
    pump.start()
    pump.close()
