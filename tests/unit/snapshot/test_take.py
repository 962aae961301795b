"""A snapshot is the directory at one moment, and costs what changed."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings

from fakes.blob_launcher import blob_launcher
from fakes.trees import Link, describe, make, settle, trees
from fakes.unprivileged import run_unprivileged
from offload.errors import (
    FileChangedError,
    LauncherUnreachableError,
    LinkLeavesRootError,
    SnapshotTooLargeError,
    SnapshotUnreadableError,
)
from offload.model.manifest import Kind, decode_manifest
from offload.snapshot.checkout import check_out
from offload.snapshot.take import take_snapshot
from offload.snapshot.working_copy import WorkingCopy
from offload.wire.blob_client import HttpBlobs
from offload.wire.trees import remove_tree


@settings(max_examples=40, deadline=None)
@given(trees())
def test_any_tree_comes_out_of_its_snapshot_and_its_copy_as_it_was(tree):
    with tempfile.TemporaryDirectory() as directory, blob_launcher(Path(directory, "launcher")) as launcher:
        home = Path(directory, "home")
        make(home, tree)
        blobs = launcher.connect()
        snapshot = take_snapshot(home, cache_dir=Path(directory, "cache"), sink=blobs)
        manifest = decode_manifest(blobs.get_manifest(snapshot.digest))
        assert manifest == snapshot.manifest
        check_out(manifest, blobs, Path(directory, "out"))
        WorkingCopy(Path(directory, "out"), Path(directory, "copy")).fill()
        assert describe(home) == describe(Path(directory, "out")) == describe(Path(directory, "copy"))


def test_modes_links_and_empty_directories_travel(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {
            "run.sh": b"#!/bin/sh\n",
            "ro": {"x": b"1"},
            "empty": {},
            "d": {"up": Link(b"../run.sh"), "off": Link(b"nowhere")},
        },
    )
    (home / "run.sh").chmod(0o750)
    (home / "ro" / "x").chmod(0o400)
    (home / "ro").chmod(0o555)
    snapshot = take(home)
    check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)
    remove_tree(tmp_path / "out")
    assert not (tmp_path / "out").exists()


OPENED: list[object] = []
sys.addaudithook(lambda event, args: OPENED.append(args[0]) if event == "open" else None)


def opened_below(root) -> set[bytes]:
    paths = {os.fsencode(path) for path in OPENED if isinstance(path, str | bytes)}
    return {path for path in paths if path.startswith(os.fsencode(root)) and b".offloadignore" not in path}


def test_the_second_snapshot_reads_and_sends_nothing(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"1" * 1000, "b": {"c": b"2"}})
    settle(home)
    first = take(home)
    launcher.calls.clear()
    OPENED.clear()
    second = take(home)
    assert opened_below(home) == set()
    assert launcher.calls == [f"HEAD /v1/manifests/{first.digest}"]
    assert (second.digest, second.bytes_sent, second.files) == (first.digest, 0, 2)


def test_an_edit_costs_what_was_edited(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(home, {f"f{number}": os.urandom(100) for number in range(500)})
    settle(home)
    take(home)
    (home / "f7").write_bytes(b"edited")
    launcher.received = 0
    OPENED.clear()
    snapshot = take(home)
    assert opened_below(home) == {os.fsencode(home / "f7")}
    assert snapshot.bytes_sent < 1000
    assert launcher.received < 1500
    check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)


def test_a_launcher_that_forgot_everything_gets_it_again(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"1" * 1000, "b": b"2"})
    first = take(home)
    (home / "c").write_bytes(b"3")
    for blob in list(launcher.blobs):
        launcher.blobs.delete(blob.digest, unwanted_since=float("inf"))
    second = take(home)
    launcher.manifests.clear()
    (home / "d").write_bytes(b"4")
    third = take(home)
    assert len({first.digest, second.digest, third.digest}) == 3
    check_out(third.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)


@pytest.mark.parametrize("damage", [b"", b"offload-stats 1\n", b"\0" * 100_000, None])
def test_a_damaged_cache_is_as_good_as_none(take, launcher, tmp_path, damage):
    home = tmp_path / "home"
    make(home, {"a": b"1", "b": b"2"})
    settle(home)
    first = take(home)
    for file in (tmp_path / "cache" / "snapshots").iterdir():
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data if damage is None else damage)
    (home / "c").write_bytes(b"3")
    take(home)
    (home / "c").unlink()
    assert take(home).digest == first.digest


def test_a_cache_that_can_not_be_written_only_costs_time(launcher, tmp_path):
    make(tmp_path / "home", {"a": b"1"})
    (tmp_path / "cache").write_bytes(b"a file is in the way")
    sink = launcher.connect()
    first = take_snapshot(tmp_path / "home", cache_dir=tmp_path / "cache", sink=sink)
    assert take_snapshot(tmp_path / "home", cache_dir=tmp_path / "cache", sink=sink).digest == first.digest


def test_a_change_of_the_same_size_and_time_is_seen(take, tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"one"})
    settle(home)
    first = take(home)
    status = (home / "a").stat()
    (home / "a").write_bytes(b"two")
    os.utime(home / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert take(home).digest != first.digest


def test_a_change_right_after_a_snapshot_is_seen_however_coarse_the_clock(take, tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"one"})
    for number in range(50):
        data = b"%03d" % number
        (home / "a").write_bytes(data)
        (entry,) = take(home).manifest.entries
        assert entry.digest == "sha256:" + hashlib.sha256(data).hexdigest()


class Restless:
    """The launcher, while somebody adds to a file whenever its files are asked about."""

    def __init__(self, sink: HttpBlobs, log: Path) -> None:
        self._sink = sink
        self._log = log

    def missing(self, digests):
        with self._log.open("ab") as file:
            file.write(b"one more line\n")
        return self._sink.missing(digests)

    def __getattr__(self, name):
        return getattr(self._sink, name)


def test_a_file_that_never_rests_is_named_and_nothing_is_submitted(launcher, tmp_path):
    home = tmp_path / "home"
    make(home, {"log.txt": bytes(2 << 20), "fit.R": b""})
    sink = Restless(launcher.connect(), home / "log.txt")
    with pytest.raises(FileChangedError, match=r"log\.txt kept changing") as caught:
        take_snapshot(home, cache_dir=tmp_path / "cache", sink=sink)
    assert ".offloadignore" in caught.value.next_step


class Writer(threading.Thread):
    """Changes a file until it is told to stop: after each call, it holds one letter alone."""

    def __init__(self, path: Path, size: int, pause: float) -> None:
        super().__init__()
        self.path, self.size, self.pause = path, size, pause
        self.stopped = threading.Event()

    def run(self) -> None:
        letters = itertools.cycle(b"abcdefgh")
        with self.path.open("r+b", buffering=0) as file:
            while not self.stopped.wait(self.pause):
                letter = bytes([next(letters)])
                file.seek(0)
                file.write(letter * self.size)


@pytest.mark.parametrize(("size", "pause"), [(2 << 20, 0.1), (1 << 20, 0.05)])
def test_a_snapshot_of_a_file_that_changes_now_and_then_is_never_mixed(take, launcher, tmp_path, size, pause):
    home = tmp_path / "home"
    make(home, {"log.txt": bytes(size)})
    writer = Writer(home / "log.txt", size, pause)
    writer.start()
    try:
        snapshots = [take(home) for _ in range(10)]
    finally:
        writer.stopped.set()
        writer.join()
    for number, snapshot in enumerate(snapshots):
        check_out(snapshot.manifest, launcher.connect(), tmp_path / f"out{number}")
        assert len(set((tmp_path / f"out{number}" / "log.txt").read_bytes())) == 1


def test_links_out_of_the_directory_are_refused_all_at_once(take, tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {
            "data": Link(b"/mnt/nas"),
            "sub": {"up": Link(b"../../other")},
            ".offloadignore": b"known\n",
            "known": Link(b"/etc"),
        },
    )
    with pytest.raises(LinkLeavesRootError) as caught:
        take(home)
    assert caught.value.details["links"] == ["data -> /mnt/nas", "sub/up -> ../../other"]
    assert "absolute path" in caught.value.next_step
    assert "mount" not in caught.value.next_step


def test_of_many_links_that_lead_out_the_first_ones_are_named(take, tmp_path):
    make(tmp_path / "home", {f"link{number:02}": Link(b"/etc") for number in range(12)})
    with pytest.raises(
        LinkLeavesRootError, match=r"^12 symbolic links .* link09 -> /etc and 2 more$"
    ) as caught:
        take(tmp_path / "home")
    assert len(caught.value.details["links"]) == 12


def test_a_link_into_the_directory_is_kept_in_its_relative_form(take, tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {
            "d": {"x": b"1"},
            "sub": {"a": Link(os.fsencode(home / "d" / "x")), "b": Link(b"../../home/d"), "c": Link(b"../d")},
        },
    )
    targets = {entry.path: entry.target for entry in take(home).manifest.entries if entry.kind is Kind.LINK}
    assert targets == {b"sub/a": b"../d/x", b"sub/b": b"../d", b"sub/c": b"../d"}


def test_what_is_no_file_is_left_out_with_a_notice(take, tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"1"})
    os.mkfifo(home / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(home / "sock"))
        snapshot = take(home)
    assert snapshot.notices == ("pipe is a pipe and was left out.", "sock is a socket and was left out.")
    assert [entry.path for entry in snapshot.manifest.entries] == [b"a"]


UNREADABLE = """
import sys
from pathlib import Path
from fakes.blob_launcher import blob_launcher
from offload.errors import SnapshotUnreadableError
from offload.snapshot.take import take_snapshot
from offload.wire.blob_client import HttpBlobs
root = Path(sys.argv[1])
with blob_launcher(root / "launcher") as launcher:
    try:
        take_snapshot(root / "home", cache_dir=root / "cache", sink=launcher.connect())
    except SnapshotUnreadableError as error:
        print(sorted(error.details["paths"]), error.exit_status)
"""


def test_everything_that_can_not_be_read_is_named_at_once():
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(
            root / "home",
            {
                "ok": b"1",
                "secret": b"2",
                "sub": {"too": b"3", "open": b""},
                "closed": {"x": b""},
                "ruled": {".offloadignore": b""},
            },
        )
        for path in ("secret", "sub/too", "closed", "ruled/.offloadignore"):
            (root / "home" / path).chmod(0)
        root.chmod(0o777)
        done = run_unprivileged(UNREADABLE, directory)
        (root / "home/closed").chmod(0o700)
    assert done.stdout == "['closed', 'ruled/.offloadignore', 'secret', 'sub/too'] 2\n", done.stderr


def test_a_link_that_may_not_be_read_is_named_like_a_file():
    # The system keeps these links of somebody else's process to itself.
    done = run_unprivileged("from offload.snapshot.walk import walk; print(walk(b'/proc/1').unreadable)")
    assert "b'cwd'" in done.stdout, done.stderr


def test_a_directory_that_is_too_large_is_refused_with_its_largest_parts(take, tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {
            "data": {"raw": {"big.csv": b"x" * 9000, "n": b"x"}},
            "fit.R": b"x" * 10,
            "plots": {"a": b"x" * 500, "b": b"x" * 500},
        },
    )
    with pytest.raises(SnapshotTooLargeError) as caught:
        take(home, limit=5000)
    assert caught.value.details == {
        "size": 10011,
        "limit": 5000,
        "largest": [
            {"path": "data/raw/big.csv", "size": 9000},
            {"path": "plots", "size": 1000},
            {"path": "fit.R", "size": 10},
        ],
    }
    assert "at most 5 kB are sent. Largest: data/raw/big.csv (9 kB)" in caught.value.sentence
    assert ".offloadignore" in caught.value.next_step
    assert "--size-limit" in caught.value.next_step
    assert "mount" not in caught.value.next_step
    assert take(home, limit=None).files == 5


def test_what_is_ignored_does_not_count_against_the_size(take, tmp_path):
    make(tmp_path, {"home": {"big": b"x" * 9000, "small": b"x", ".offloadignore": b"big\n"}})
    assert take(tmp_path / "home", limit=100).files == 2


def test_a_directory_that_is_not_there_is_told(take, tmp_path):
    with pytest.raises(SnapshotUnreadableError, match="no directory"):
        take(tmp_path / "nowhere")


def test_progress_ends_at_the_total(take, tmp_path):
    make(tmp_path / "home", {"a": b"1" * 1000, "b": b"2" * 2_000_000, "c": b"1" * 1000})
    seen = []
    take(tmp_path / "home", progress=lambda done, total: seen.append((done, total)))
    assert sorted(seen) == seen
    assert seen[-1] == (2_002_000, 2_002_000)


def test_large_files_travel_and_are_proved(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(home, {"random": os.urandom(3_000_000), "text": b"a,b,c\n" * 700_000})
    snapshot = take(home)
    assert 7_200_000 < snapshot.bytes_sent < 7_201_000
    check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)


def test_many_batches_of_small_files_travel_each_content_once(take, launcher, tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {f"f{number}": os.urandom(400_000) for number in range(60)}
        | {"same": {"x": b"s" * 9}, "x": b"s" * 9},
    )
    snapshot = take(home)
    assert 24_000_000 < snapshot.bytes_sent < 24_020_000
    assert sum(call == "PUT /v1/blobs" for call in launcher.calls) == 2
    check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)


def test_a_launcher_that_lacks_everything_is_asked_ever_less_often_on_this_machine(tmp_path):
    home = tmp_path / "home"
    make(home, {f"f{number:03}": os.urandom(1_000_000) for number in range(72)})
    asked = {}
    for network in (False, True):
        with blob_launcher(tmp_path / f"launcher-{network}", network=network) as launcher:
            take_snapshot(home, cache_dir=tmp_path / f"cache-{network}", sink=launcher.connect())
            asked[network] = [call for call in launcher.calls if call.endswith("/blobs/missing")]
            assert sum(call == "PUT /v1/blobs" for call in launcher.calls) == len(asked[network])
    assert (len(asked[False]), len(asked[True])) == (3, 8)


def test_what_the_launcher_has_travels_in_vain_no_longer_than_something_was_new(take, launcher, tmp_path):
    known = {f"known{number:02}": os.urandom(1_000_000) for number in range(27)}
    make(tmp_path / "first", known)
    take(tmp_path / "first")
    make(tmp_path / "second", {f"f{number}": os.urandom(1_000_000) for number in range(9)} | known)
    snapshot = take(tmp_path / "second")
    assert 18_000_000 < snapshot.bytes_sent < 18_020_000
    check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(tmp_path / "second")


def test_a_network_sees_compressed_files_both_ways(tmp_path):
    home = tmp_path / "home"
    make(
        home,
        {"small.csv": b"a,b,c\n" * 100_000, "large.csv": b"a,b,c\n" * 500_000, "x.png": os.urandom(1000)},
    )
    with blob_launcher(tmp_path / "launcher", network=True) as launcher:
        snapshot = take_snapshot(home, cache_dir=tmp_path / "cache", sink=launcher.connect())
        assert snapshot.bytes_sent < 20_000
        assert launcher.received < 20_000
        check_out(snapshot.manifest, launcher.connect(), tmp_path / "out")
    assert describe(tmp_path / "out") == describe(home)


def test_a_launcher_that_goes_away_is_told_and_the_next_try_goes_on(tmp_path):
    home = tmp_path / "home"
    make(home, {"a": b"1"})
    with blob_launcher(tmp_path / "launcher") as launcher:
        sink = launcher.connect()
    with pytest.raises(LauncherUnreachableError):
        take_snapshot(home, cache_dir=tmp_path / "cache", sink=sink)
    shutil.rmtree(tmp_path / "launcher")
    with blob_launcher(tmp_path / "launcher") as launcher:
        assert take_snapshot(home, cache_dir=tmp_path / "cache", sink=launcher.connect()).files == 1
