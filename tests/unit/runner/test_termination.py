"""Ends that no script has caused: SIGTERM, whichever thread the kernel gives it to, and our own flaws."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from offload.runner.termination import Termination

termination = Termination()
termination.then(lambda: print("told", flush=True))
main = Path(f"/proc/self/task/{threading.get_native_id()}/syscall")

def end():
    while main.read_text().split()[0] not in ("270", "72"):  # pselect6 on x86-64 and on ARM
        pass
    os.kill(os.getpid(), signal.SIGTERM)

thread = threading.Thread(target=end)
thread.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # so that no call here is interrupted
WAIT
thread.join()
print("over")
"""


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        ("termination.wait()", "over\n"),
        ("termination.pause()", "told\nover\n"),
        ("termination.pause(os.pipe()[0])", "told\nover\n"),
    ],
)
def test_a_signal_that_interrupts_no_call_ends_the_wait_all_the_same(waits, says):
    command = [sys.executable, "-c", PROGRAM.replace("WAIT", waits)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    assert ended.stdout == says


FLAWED = """
import threading
from offload.runner import __main__ as program

class Flawed:
    def run(self):
        threading.Thread(target=lambda: 1 / 0).start()
        threading.Event().wait()

program.read_config = lambda environ: None
program.Runner = lambda config: Flawed()
program.main()
"""


def test_a_thread_that_fails_takes_the_runner_along():
    ended = subprocess.run(
        [sys.executable, "-c", FLAWED], check=False, capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
