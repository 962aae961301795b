"""Blob files: what is visible is whole and right; what is wanted stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.blob_launcher import blob_launcher
from fakes.unprivileged import run_on_a_full_disk
from offload.errors import BlobCorruptError, BlobMissingError, LauncherUnreachableError, ProtocolError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import digest_of
from offload.store.blobs import BlobFiles
from offload.store.incoming import Incoming
from offload.wire.encoding import decoded, encode_bytes
from offload.wire.packs import encode_pack

SMALL = b"tiny"
TEXT = b"a,b,c\n1,2,3\n" * 1000
LARGE = os.urandom(3 << 20)


@pytest.fixture
def files(tmp_path) -> Iterator[BlobFiles]:
    opened = BlobFiles(tmp_path / "blobs")
    yield opened
    opened.close()


def put(files: BlobFiles, *contents: bytes) -> list[str]:
    digests = [digest_of(data) for data in contents]
    files.put(map(encode_bytes, digests, contents))
    return digests


def on_disk(files: BlobFiles) -> list[str]:
    """Names of files that hold blobs, whole or not."""
    found = [name for _, _, names in os.walk(files._directory) for name in names]
    return sorted(name for name in found if not name.startswith("index.sqlite"))


def stored_path(files: BlobFiles, digest: str) -> Path:
    return next(Path(path) for codec in Codec if os.path.exists(path := files.path(digest, codec)))


def test_what_was_put_is_read_back_as_it_was_received(files):
    digests = put(files, SMALL, TEXT, LARGE, b"")
    assert [files.get_bytes(digest) for digest in digests] == [SMALL, TEXT, LARGE, b""]
    assert [blob.codec for blob in files.fetch(digests)] == [Codec.RAW, Codec.ZSTD, Codec.RAW, Codec.RAW]
    assert {blob.digest for blob in files} == set(digests)
    assert all(blob.size < 200 for blob in files if blob.digest == digests[1])


def test_missing_are_those_that_were_not_put(files):
    digests = put(files, SMALL)
    absent = digest_of(b"absent")
    assert files.missing([*digests, absent]) == {absent}
    assert files.has(digests[0])
    assert not files.has(absent)


def test_a_name_that_is_no_digest_never_becomes_a_path(files):
    for name in ("sha256:../../../etc/passwd", "sha256:" + "A" * 64, "", "sha256:" + "0" * 63 + "/"):
        with pytest.raises(ProtocolError):
            files.has(name)


def test_a_blob_with_other_bytes_than_its_digest_is_refused_and_leaves_nothing(files):
    for codec in Codec:
        with pytest.raises(BlobCorruptError):
            files.put([Blob(digest_of(b"other"), codec, (TEXT,))])
    assert on_disk(files) == []


def test_a_pack_that_breaks_off_keeps_its_whole_blobs_and_leaves_no_part(files):
    stream = b"".join(encode_pack([encode_bytes(digest_of(data), data) for data in (TEXT, LARGE)]))
    with files.receive() as receiver:
        for at in range(0, len(stream) - 10, 100_000):
            receiver.feed(stream[at : at + 100_000][: len(stream) - 10 - at])
        with pytest.raises(ProtocolError):
            receiver.close()
    assert [blob.digest for blob in files] == [digest_of(TEXT)]
    assert len(on_disk(files)) == 1


def test_a_damaged_blob_is_found_moved_aside_and_heals(files):
    (digest,) = put(files, LARGE)
    path = stored_path(files, digest)
    data = bytearray(path.read_bytes())
    data[1 << 20] ^= 1
    path.write_bytes(data)
    received = []
    with pytest.raises(BlobCorruptError):
        received.extend(files.open(digest).chunks)
    assert sum(map(len, received)) < len(LARGE)
    assert files.missing([digest]) == {digest}
    with pytest.raises(BlobCorruptError, match="damaged on the launcher's disk"):
        files.fetch([digest])
    put(files, LARGE)
    assert files.get_bytes(digest) == LARGE
    assert len(on_disk(files)) == 1


def test_an_emptied_blob_is_damaged_too(files):
    (digest,) = put(files, TEXT)
    stored_path(files, digest).write_bytes(b"")
    with pytest.raises(BlobCorruptError):
        files.get_bytes(digest)


def test_asking_for_blobs_that_are_not_there_names_them_before_the_first_one(files):
    absent = digest_of(b"absent")
    with pytest.raises(BlobMissingError) as caught:
        files.fetch([*put(files, SMALL), absent])
    assert caught.value.details["digests"] == [absent]


def test_what_was_wanted_since_is_not_deleted(files):
    old, wanted = put(files, SMALL, TEXT)
    for digest in (old, wanted):
        os.utime(stored_path(files, digest), (1000, 1000))
    assert files.missing([wanted]) == set()
    assert [files.delete(digest, unwanted_since=2000) for digest in (old, wanted)] == [True, False]
    assert not files.delete(old, unwanted_since=2000)
    assert [blob.digest for blob in files] == [wanted]


def test_a_wish_is_kept_though_a_recent_time_is_not_renewed(files):
    (digest,) = put(files, TEXT)
    now = time.time()
    os.utime(stored_path(files, digest), (now - 30, now - 30))
    assert files.has(digest)
    assert stored_path(files, digest).stat().st_mtime == pytest.approx(now - 30)
    assert not files.delete(digest, unwanted_since=now - 1)


def test_only_old_leftovers_of_a_crash_are_removed_at_start(files, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from offload.store.blobs import *;"
        "Incoming(BlobFiles(Path(sys.argv[1])), 'sha256:' + '0' * 64, Codec.RAW).write(b'part'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "blobs"], check=False).returncode == 9
    assert BlobFiles(tmp_path / "blobs").missing(["sha256:" + "0" * 64])
    (left,) = (tmp_path / "blobs/tmp").iterdir()
    os.utime(left, (1000, 1000))
    BlobFiles(tmp_path / "blobs")
    assert on_disk(files) == []


def test_threads_may_put_the_same_blobs_at_once(files):
    threads = [threading.Thread(target=put, args=(files, SMALL, TEXT, LARGE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(on_disk(files)) == 3


FULL = """
import sys
from pathlib import Path
from offload.errors import DiskFullError
from offload.store.blobs import BlobFiles
from offload.model.manifest import digest_of
from offload.wire.encoding import encode_bytes
import os
files = BlobFiles(Path("/mnt/blobs"))
small, large = b"small", os.urandom(2 << 20)
files.put_bytes(digest_of(small), small)
try:
    files.put_bytes(digest_of(large), large)
except DiskFullError as error:
    print(error.code, error.next_step)
assert files.get_bytes(digest_of(small)) == small
print([blob.digest for blob in files] == [digest_of(small)], os.listdir("/mnt/blobs/tmp"))
"""


def test_a_full_disk_is_told_and_leaves_no_part():
    done = run_on_a_full_disk(FULL)
    assert done.stdout.split("\n")[:2] == [
        "disk_full Free space on the disk of the launcher, then run the same command again.",
        "True []",
    ], done.stderr


def test_blobs_travel_to_a_launcher_and_back(tmp_path):
    with blob_launcher(tmp_path) as launcher:
        client = launcher.connect()
        contents = {digest_of(data): data for data in (SMALL, TEXT, LARGE, b"")}
        assert client.missing(list(contents)) == set(contents)
        client.put(encode_bytes(digest, data) for digest, data in contents.items())
        assert client.missing(list(contents)) == set()
        fetched = {blob.digest: b"".join(decoded(blob)) for blob in client.fetch(list(contents))}
        assert fetched == contents
        assert client.missing([]) == set()
        with pytest.raises(BlobMissingError):
            list(client.fetch([digest_of(b"absent")]))
        with pytest.raises(BlobCorruptError):
            client.put([Blob(digest_of(b"x"), Codec.RAW, (b"y",))])
        assert client.missing(list(contents)) == set()


def test_a_sender_that_fails_in_the_middle_can_go_on_with_the_same_connection(tmp_path):
    def broken():
        yield encode_bytes(digest_of(SMALL), SMALL)
        raise OSError("the file is gone")

    with blob_launcher(tmp_path) as launcher:
        client = launcher.connect()
        with pytest.raises(LauncherUnreachableError):
            client.put(broken())
        assert client.missing([digest_of(TEXT)]) == {digest_of(TEXT)}


def test_a_fetch_that_is_given_up_can_be_followed_by_another(tmp_path):
    with blob_launcher(tmp_path) as launcher:
        client = launcher.connect()
        digests = put(launcher.blobs, TEXT, LARGE)
        fetching = client.fetch(digests)
        next(fetching)
        fetching.close()
        assert {blob.digest for blob in client.fetch(digests)} == set(digests)


def test_a_blob_damaged_at_the_launcher_is_told_after_the_good_ones(tmp_path):
    with blob_launcher(tmp_path) as launcher:
        client = launcher.connect()
        good, bad = put(launcher.blobs, SMALL, TEXT)
        stored_path(launcher.blobs, bad).write_bytes(b"damaged")
        fetched = []
        with pytest.raises(BlobCorruptError, match="launcher's disk"):
            fetched.extend(blob.digest for blob in client.fetch([good, bad]))
        assert fetched == [good]


def test_an_unfinished_blob_can_be_closed_twice(files):
    with Incoming(files, digest_of(SMALL), Codec.RAW) as incoming:
        incoming.write(SMALL)
        incoming.close()
    assert on_disk(files) == []
