"""What is checked out is what the manifest names, or nothing is taken for it."""

from __future__ import annotations

import os

import pytest

from fakes.trees import Link, describe, make, settle
from offload.errors import BlobCorruptError, BlobMissingError, PlaybackError
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.snapshot.checkout import check_out
from offload.snapshot.fingerprint import fingerprint_of
from offload.snapshot.working_copy import WorkingCopy
from offload.store.blobs import BlobFiles

TEXT = b"a,b\n" * 1000


@pytest.fixture
def blobs(tmp_path) -> BlobFiles:
    files = BlobFiles(tmp_path / "blobs")
    files.put_bytes(digest_of(TEXT), TEXT)
    return files


def file_entry(
    path: bytes, *, mode: int = 0o644, size: int = len(TEXT), digest: str = digest_of(TEXT)
) -> Entry:
    return Entry(path, Kind.FILE, mode, size, digest)


def test_directories_that_only_stand_above_are_made(blobs, tmp_path):
    check_out(Manifest((file_entry(b"a/b/x"),)), blobs, tmp_path / "out")
    assert (tmp_path / "out/a/b/x").read_bytes() == TEXT


def test_the_same_content_in_many_files_is_fetched_once_and_every_mode_is_kept(blobs, tmp_path):
    manifest = Manifest.of(file_entry(b"x%d" % mode, mode=mode) for mode in (0o644, 0o755, 0o400, 0o640))
    check_out(manifest, blobs, tmp_path / "out")
    assert {path: mode for path, (mode, _) in describe(tmp_path / "out").items()} == {
        b"x420": "-rw-r--r--",
        b"x493": "-rwxr-xr-x",
        b"x256": "-r--------",
        b"x416": "-rw-r-----",
    }


def test_a_manifest_with_a_wrong_size_is_corrupt_and_its_file_is_not_left(blobs, tmp_path):
    for size in (0, len(TEXT) - 1, len(TEXT) + 1):
        with pytest.raises(BlobCorruptError):
            check_out(Manifest((file_entry(b"x", size=size),)), blobs, tmp_path / f"out{size}")
        assert describe(tmp_path / f"out{size}") == {}


def test_a_missing_blob_is_named(blobs, tmp_path):
    absent = digest_of(b"absent")
    with pytest.raises(BlobMissingError) as caught:
        check_out(Manifest((file_entry(b"x", digest=absent),)), blobs, tmp_path / "out")
    assert caught.value.details["digests"] == [absent]


def test_a_directory_that_is_not_empty_is_refused(blobs, tmp_path):
    make(tmp_path / "out", {"mine": b"1"})
    with pytest.raises(PlaybackError, match="isn't empty"):
        check_out(Manifest((file_entry(b"x"),)), blobs, tmp_path / "out")
    assert describe(tmp_path / "out").keys() == {b"mine"}


def test_a_copy_is_a_copy_with_modes_links_and_times(tmp_path):
    make(tmp_path / "one", {"x": b"1", "d": {"y": TEXT, "l": Link(b"../x")}, "empty": {}, "ro": {"z": b""}})
    os.utime(tmp_path / "one" / "x", (1000, 1000))
    (tmp_path / "one" / "ro").chmod(0o555)
    os.utime(tmp_path / "one" / "ro", (2000, 2000))
    WorkingCopy(tmp_path / "one", tmp_path / "two").fill()
    assert describe(tmp_path / "one") == describe(tmp_path / "two")
    assert (tmp_path / "two" / "x").stat().st_mtime == 1000
    assert (tmp_path / "two" / "ro").stat().st_mtime == 2000
    (tmp_path / "two" / "x").write_bytes(b"changed")
    assert (tmp_path / "one" / "x").read_bytes() == b"1"


def test_a_copy_vouches_only_for_files_that_could_not_have_changed_unseen(tmp_path):
    make(tmp_path / "one", {"x": b"1"})
    settle(tmp_path / "one")
    assert WorkingCopy(tmp_path / "one", tmp_path / "two").fill() == {}
    make(tmp_path / "many", {f"f{number}": os.urandom(100_000) for number in range(600)})
    copied = WorkingCopy(tmp_path / "many", tmp_path / "many2").fill()
    for path, fingerprint in copied.items():
        assert fingerprint_of(os.lstat(tmp_path / "many2" / os.fsdecode(path))) == fingerprint
