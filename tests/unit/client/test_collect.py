"""Results on their way home."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SLOW = """
import signal, socket, sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from offload.client import collect
from offload.model.blobs import Blob, Codec
from offload.model.manifest import Entry, Kind, Manifest, digest_of

home = Path(sys.argv[1])
told, telling = socket.socketpair()
telling.setblocking(False)
signal.set_wakeup_fd(telling.fileno())
content = b"half" * 2
results = Manifest.of([
    Entry(name, Kind.FILE, 0o644, len(content), digest_of(content)) for name in (b"big", b"copy")
])


class Blobs:
    def __init__(self, connection, prefix):
        pass

    def get_manifest(self, digest):
        return results.encode()

    def fetch(self, digests):
        def pieces():
            yield b"half"
            print(len(list(home.iterdir())), flush=True)
            told.recv(1)  # pause() would miss a signal that comes just before it

        yield Blob(digests[0], Codec.RAW, pieces())


collect.HttpBlobs = Blobs
spec = SimpleNamespace(is_array=False)
job = SimpleNamespace(id="k7m2q9x", state=SimpleNamespace(is_terminal=True), results_removed=False, spec=spec)
task = SimpleNamespace(index=1, results="sha256:0", parameters=None)
api = SimpleNamespace(tasks=lambda job, results: [task], patiently=lambda call: call(), dial=nullcontext)
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
collect.collect(api, job, to=home)
"""


def collecting(home, how: str = "") -> subprocess.Popen[str]:
    home.mkdir()
    process = subprocess.Popen([sys.executable, "-c", SLOW, home, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_a_collect_ends_it_as_ever_and_finds_nothing_half_done(tmp_path, number):
    with collecting(tmp_path / "home") as process:
        process.send_signal(number)
        assert process.wait(30) == -number
    assert list((tmp_path / "home").iterdir()) == []


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    with collecting(tmp_path / "home", "ignored") as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
