"""Small blobs that share a file: whole or not there, found again after anything, and no space is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.unprivileged import run_on_a_full_disk
from offload.errors import BlobCorruptError, BlobMissingError, ProtocolError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import digest_of
from offload.store import packed
from offload.store.blobs import BlobFiles
from offload.wire.encoding import encode_bytes
from offload.wire.packs import HEADER_SIZE, encode_pack

CONTENTS = [b"", b"x", b"a,b,c\n" * 1000, os.urandom(10_000), os.urandom(100_000)]
DIGESTS = [digest_of(data) for data in CONTENTS]
LARGE = os.urandom(1 << 20)


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def files(directory):
    opened = BlobFiles(directory)
    yield opened
    opened.close()


def receive(files: BlobFiles, *contents: bytes, step: int = 70_000) -> list[str]:
    digests = [digest_of(data) for data in contents]
    stream = b"".join(encode_pack(map(encode_bytes, digests, contents)))
    with files.receive() as receiver:
        for at in range(0, len(stream), step):
            receiver.feed(stream[at : at + step])
        receiver.close()
    return digests


def packs(directory: Path) -> list[Path]:
    return sorted(directory.glob("packs/*.pack"))


def make_old(files: BlobFiles, *digests: str) -> None:
    files._packs.index.want(digests, 1000.0)


def test_small_blobs_of_a_request_share_a_file_and_large_ones_have_their_own(files, directory):
    receive(files, *CONTENTS, LARGE)
    assert [files.get_bytes(digest) for digest in DIGESTS] == CONTENTS
    assert files.get_bytes(digest_of(LARGE)) == LARGE
    assert len(packs(directory)) == 1
    assert len(list(directory.glob("??/*"))) == 1
    assert [blob.codec for blob in files.fetch(DIGESTS[2:4])] == [Codec.ZSTD, Codec.RAW]
    assert {blob.digest for blob in files} == {*DIGESTS, digest_of(LARGE)}
    assert sum(blob.size for blob in files) < packs(directory)[0].stat().st_size + len(LARGE)
    assert files.missing([*DIGESTS, digest_of(b"absent")]) == {digest_of(b"absent")}
    assert os.listdir(directory / "tmp") == []


def test_a_long_request_is_cut_into_several_packs(files, directory, monkeypatch):
    monkeypatch.setattr(packed, "_LIMIT", 5_000)
    receive(files, *CONTENTS)
    receive(files, *CONTENTS)
    assert len(packs(directory)) > 2
    assert [files.get_bytes(digest) for digest in DIGESTS] == CONTENTS


@pytest.mark.parametrize("codec", Codec)
def test_what_came_before_a_damaged_blob_is_kept(files, codec):
    good = encode_bytes(DIGESTS[2], CONTENTS[2])
    bad = Blob(DIGESTS[1], codec, encode_bytes(DIGESTS[2], CONTENTS[2]).chunks)
    with files.receive() as receiver, pytest.raises(BlobCorruptError):
        receiver.feed(*encode_pack([good, bad, good]))
    assert files.missing(DIGESTS) == set(DIGESTS) - {DIGESTS[2]}


def test_what_came_before_the_sender_went_away_is_kept(files, directory):
    stream = b"".join(encode_pack(map(encode_bytes, DIGESTS, CONTENTS)))
    with files.receive() as receiver:
        receiver.feed(stream[:-10])
        with pytest.raises(ProtocolError):
            receiver.close()
    assert files.missing(DIGESTS) == {DIGESTS[-1]}
    assert os.listdir(directory / "tmp") == []


def test_an_index_that_was_lost_or_damaged_is_made_again(files, directory):
    receive(files, *CONTENTS[:2])
    receive(files, *CONTENTS[2:])
    files.close()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"no database" * 1000)):
        for extra in ("-wal", "-shm"):
            (directory / f"packs/index.sqlite{extra}").unlink(missing_ok=True)
        damage(directory / "packs/index.sqlite")
        again = BlobFiles(directory)
        assert [again.get_bytes(digest) for digest in DIGESTS] == CONTENTS
        again.close()


def test_a_pack_that_is_gone_is_missed(files, directory):
    receive(files, *CONTENTS[:2])
    receive(files, *CONTENTS[2:])
    files.close()
    packs(directory)[0].unlink()
    again = BlobFiles(directory)
    assert again.missing(DIGESTS) == set(DIGESTS[:2])
    receive(again, *CONTENTS[:2])
    assert [again.get_bytes(digest) for digest in DIGESTS] == CONTENTS
    again.close()


def test_a_pack_that_goes_meanwhile_is_told_and_its_blobs_are_sent_again(files, directory):
    receive(files, *CONTENTS[:2])
    packs(directory)[0].unlink()
    with pytest.raises(BlobMissingError):
        files.get_bytes(DIGESTS[0])
    assert files.missing([DIGESTS[0]]) == {DIGESTS[0]}
    receive(files, CONTENTS[0])
    assert files.get_bytes(DIGESTS[0]) == CONTENTS[0]


DIES = """
import os, sys
from pathlib import Path
from offload.model.manifest import digest_of
from offload.store import pack_index, packed
from offload.store.blobs import BlobFiles
from offload.wire.encoding import encode_bytes
from offload.wire.packs import encode_pack
files = BlobFiles(Path(sys.argv[1]))
{when} = lambda *args, **options: os._exit(9)
with files.receive() as receiver:
    receiver.feed(*encode_pack([encode_bytes(digest_of(b"small"), b"small")]))
    receiver.close()
"""


@pytest.mark.parametrize(
    ("when", "is_there"),
    [("os.rename", False), ("pack_index.PackIndex.learn", True), ("packed._write", False)],
)
def test_a_crash_leaves_a_blob_whole_or_missing(directory, when, is_there):
    code = DIES.format(when=when)
    assert subprocess.run([sys.executable, "-c", code, directory], check=False).returncode == 9
    files = BlobFiles(directory)
    assert files.has(digest_of(b"small")) is is_there
    receive(files, b"small")
    assert files.get_bytes(digest_of(b"small")) == b"small"
    files.close()


def test_a_torn_pack_gives_what_is_whole(files, directory):
    receive(files, *CONTENTS)
    files.close()
    (pack,) = packs(directory)
    os.truncate(pack, pack.stat().st_size - 10)
    (directory / "packs/index.sqlite").unlink()
    again = BlobFiles(directory)
    assert again.missing(DIGESTS) == {DIGESTS[-1]}
    again.close()


def test_a_blob_that_rots_in_a_pack_is_set_aside_and_heals(files, directory):
    receive(files, *CONTENTS)
    (pack,) = packs(directory)
    data = bytearray(pack.read_bytes())
    data[-5] ^= 1
    pack.write_bytes(data)
    with pytest.raises(BlobCorruptError):
        files.get_bytes(DIGESTS[-1])
    assert files.missing(DIGESTS) == {DIGESTS[-1]}
    with pytest.raises(BlobCorruptError, match="damaged on the launcher's disk"):
        files.fetch([DIGESTS[-1]])
    assert len((directory / "corrupt" / DIGESTS[-1][7:]).read_bytes()) == len(CONTENTS[-1])
    receive(files, CONTENTS[-1])
    assert [files.get_bytes(digest) for digest in DIGESTS] == CONTENTS
    assert os.listdir(directory / "corrupt") == []


def test_what_was_wanted_since_is_not_deleted(files):
    old, wanted, *_ = receive(files, *CONTENTS)
    make_old(files, old, wanted)
    assert files.missing([wanted]) == set()
    assert [files.delete(digest, unwanted_since=2000) for digest in (old, wanted)] == [True, False]
    assert not files.delete(old, unwanted_since=2000)
    assert files.missing(DIGESTS) == {old}


def test_space_of_deleted_blobs_is_given_back_and_the_others_stay(files, directory):
    receive(files, *CONTENTS)
    make_old(files, DIGESTS[0], DIGESTS[1])
    assert files.delete(DIGESTS[1], unwanted_since=2000)
    files.tidy()
    assert [pack.name for pack in packs(directory)] == ["1.pack"]
    make_old(files, DIGESTS[-1])
    assert files.delete(DIGESTS[-1], unwanted_since=2000)
    files.tidy()
    assert [pack.name for pack in packs(directory)] == ["2.pack"]
    assert next(blob.wanted for blob in files if blob.digest == DIGESTS[0]) < 2000
    kept = [0, 2, 3]
    assert [files.get_bytes(DIGESTS[number]) for number in kept] == [CONTENTS[number] for number in kept]
    assert packs(directory)[0].stat().st_size == sum(blob.size + HEADER_SIZE for blob in files)
    for number in kept:
        make_old(files, DIGESTS[number])
        files.delete(DIGESTS[number], unwanted_since=2000)
    files.tidy()
    assert packs(directory) == []
    assert list(files) == []
    assert os.listdir(directory / "tmp") == []


def test_what_moved_is_not_lost_when_the_index_does_not_know_yet(files, directory, monkeypatch):
    receive(files, *CONTENTS)
    make_old(files, DIGESTS[-1])
    files.delete(DIGESTS[-1], unwanted_since=2000)
    monkeypatch.setattr(type(files._packs.index), "move", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        files.tidy()
    files.close()
    again = BlobFiles(directory)
    again.tidy()
    assert [pack.name for pack in packs(directory)] == ["2.pack"]
    assert again.missing(DIGESTS) == {DIGESTS[-1]}
    again.close()


def test_readers_and_senders_do_not_mind_a_pack_that_moves(files):
    receive(files, *CONTENTS)
    ended = threading.Event()

    def read() -> int:
        turns = 0
        while not ended.is_set():
            assert [files.get_bytes(digest) for digest in DIGESTS[:4]] == CONTENTS[:4]
            turns += 1
        return turns

    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            for _ in range(50):
                make_old(files, DIGESTS[-1])
                files.delete(DIGESTS[-1], unwanted_since=2000)
                files.tidy()
                receive(files, *CONTENTS[2:])
        finally:
            ended.set()
    assert all(reader.result() for reader in readers)


FULL = """
import os
from pathlib import Path
from offload.errors import DiskFullError
from offload.model.manifest import digest_of
from offload.store.blobs import BlobFiles
from offload.wire.encoding import encode_bytes
from offload.wire.packs import encode_pack
files = BlobFiles(Path("/mnt/blobs"))
few, many = [b"small"], [os.urandom(100_000) for _ in range(40)]
def receive(contents):
    with files.receive() as receiver:
        for blob in contents:
            receiver.feed(*encode_pack([encode_bytes(digest_of(blob), blob)]))
        receiver.close()
receive(few)
try:
    receive(many)
except DiskFullError as error:
    print(error.code)
assert files.get_bytes(digest_of(few[0])) == few[0]
for blob in many:
    if files.has(digest_of(blob)):
        assert files.get_bytes(digest_of(blob)) == blob
print(os.listdir("/mnt/blobs/tmp"), len(files.missing(map(digest_of, many))) > 0)
"""


def test_a_full_disk_is_told_and_leaves_no_part():
    done = run_on_a_full_disk(FULL)
    assert done.stdout.split("\n")[:2] == ["disk_full", "[] True"], done.stderr
