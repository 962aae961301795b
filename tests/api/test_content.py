"""Blobs and manifests over HTTP, for people and for runners."""

from __future__ import annotations

import os
import socket
import time

import pytest

from fakes.person import wait_until
from fakes.service import MANIFEST, SCRIPT, SNAPSHOT, caught
from offload.errors import (
    BlobCorruptError,
    BlobMissingError,
    ManifestInvalidError,
    OffloadError,
    ProtocolError,
    UnauthorizedError,
    UsageError,
)
from offload.model.blobs import Blob, Codec
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.store import manifests
from offload.wire.blob_client import HttpBlobs
from offload.wire.encoding import decoded, encode_bytes
from offload.wire.packs import encode_pack

BIG = os.urandom(5 << 20) + bytes(5 << 20)


@pytest.fixture
def blobs(service):
    with service.connect() as connection:
        yield HttpBlobs(connection, "/v1")


def fetch(blobs: HttpBlobs, *digests: str) -> dict[str, bytes]:
    return {blob.digest: b"".join(decoded(blob)) for blob in blobs.fetch(digests)}


def test_blobs_come_back_as_they_were_put(blobs):
    data = [b"", b"x", SCRIPT * 1000, BIG]
    digests = [digest_of(one) for one in data]
    assert blobs.missing(digests) == set(digests)
    blobs.put([encode_bytes(digest, one) for digest, one in zip(digests, data, strict=True)])
    assert blobs.missing(digests) == set()
    assert fetch(blobs, *digests) == dict(zip(digests, data, strict=True))


def test_a_corrupt_blob_is_refused_and_those_before_it_are_kept(service, blobs):
    good, bad = encode_bytes(digest_of(b"good"), b"good"), Blob(digest_of(b"bad"), Codec.RAW, (b"other",))
    assert type(caught(lambda: blobs.put([good, bad]))) is BlobCorruptError
    assert blobs.missing([good.digest, bad.digest]) == {bad.digest}


def test_a_pack_that_breaks_off_is_refused(service, blobs):
    with service.connect() as connection:
        error = caught(lambda: connection.request("PUT", "/v1/blobs", b"\0" * 20))
    assert type(error) is ProtocolError


def test_a_pack_that_is_refused_early_is_taken_off_the_connection(service):
    pack = b"".join(
        encode_pack([Blob(digest_of(b"x"), Codec.RAW, (BIG,)), encode_bytes(digest_of(BIG), BIG)])
    )
    with service.connect() as connection:
        error = caught(lambda: connection.request("PUT", "/v1/blobs", pack))
        assert type(error) is BlobCorruptError
        assert HttpBlobs(connection, "/v1").missing([SNAPSHOT]) == {SNAPSHOT}
        caught(lambda: connection.request("PUT", "/v1/jobs/blobs", BIG))  # where nobody takes it
        assert HttpBlobs(connection, "/v1").missing([SNAPSHOT]) == {SNAPSHOT}


def test_of_a_client_that_goes_away_the_whole_blobs_are_kept(service, blobs):
    small, large = digest_of(SCRIPT), digest_of(BIG)
    pack = b"".join(encode_pack([Blob(small, Codec.RAW, (SCRIPT,)), Blob(large, Codec.RAW, (BIG,))]))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(service.socket))
        client.sendall(b"PUT /v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(pack))
        client.sendall(pack[: len(pack) // 2])
    wait_until(lambda: blobs.missing([small, large]) == {large})


def test_a_client_may_ask_before_it_sends_a_pack(service, blobs):
    pack = b"".join(encode_pack([encode_bytes(digest_of(SCRIPT), SCRIPT)]))
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answer:
        client.connect(str(service.socket))
        client.sendall(
            b"PUT /v1/blobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            % len(pack)
        )
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        client.sendall(pack)
        assert (answer.readline(), answer.readline()) == (b"\r\n", b"HTTP/1.1 204 No Content\r\n")
    assert blobs.missing([digest_of(SCRIPT)]) == set()


def test_a_manifest_needs_its_blobs(blobs):
    error = caught(lambda: blobs.put_manifest(SNAPSHOT, MANIFEST.encode()))
    assert type(error) is BlobMissingError
    assert error.details == {"digests": [digest_of(SCRIPT)]}
    assert not blobs.has_manifest(SNAPSHOT)
    blobs.put([encode_bytes(digest_of(SCRIPT), SCRIPT)])
    blobs.put_manifest(SNAPSHOT, MANIFEST.encode())
    blobs.put_manifest(SNAPSHOT, MANIFEST.encode())
    assert blobs.has_manifest(SNAPSHOT)
    assert blobs.get_manifest(SNAPSHOT) == MANIFEST.encode()


def test_a_manifest_whose_blob_is_gone_counts_as_missing(service, blobs):
    service.put_snapshot()
    service.launcher.content.files.delete(digest_of(SCRIPT), unwanted_since=time.time() + 100)
    assert not blobs.has_manifest(SNAPSHOT)


def test_a_manifest_travels_as_the_difference_to_another(service, blobs):
    service.put_snapshot()
    more = Manifest.of([*MANIFEST.entries, Entry(b"data", Kind.DIRECTORY, 0o755)]).encode()
    blobs.put_manifest(digest_of(more), more, base=(SNAPSHOT, MANIFEST.encode()))
    assert blobs.get_manifest(digest_of(more)) == more
    unknown = digest_of(b"unknown")
    error = caught(lambda: blobs.put_manifest(digest_of(more), more, base=(unknown, MANIFEST.encode())))
    assert type(error) is BlobMissingError


def test_a_manifest_with_another_name_or_form_is_refused(blobs):
    for digest, data in ((SNAPSHOT, b"other"), (digest_of(b"junk"), b"junk")):
        assert type(caught(lambda d=digest, b=data: blobs.put_manifest(d, b))) is ManifestInvalidError


def test_an_unknown_manifest_is_404(service):
    with service.connect() as connection:
        error = caught(lambda: connection.request("GET", f"/v1/manifests/{SNAPSHOT}"))
    assert isinstance(error, OffloadError)
    assert error.code == "blob_missing"


def test_asking_for_blobs_that_are_not_there_is_refused_before_any_is_sent(service, blobs):
    service.put_snapshot()
    there, gone = digest_of(SCRIPT), digest_of(b"gone")
    error = caught(lambda: fetch(blobs, there, gone))
    assert (type(error), error.details["digests"]) == (BlobMissingError, [gone])


def test_a_blob_that_rots_on_disk_is_detected(service, blobs):
    service.put_snapshot()
    (path,) = (service.config.data / "blobs/packs").glob("*.pack")
    path.write_bytes(b"rotten")
    assert type(caught(lambda: fetch(blobs, digest_of(SCRIPT)))) is BlobCorruptError


def test_names_that_are_no_digests_are_refused(service):
    for wrong in ("../../etc/passwd", "sha256:0", "sha256:" + "A" * 64):
        error = caught(lambda d=wrong: service.call("POST", "/v1/blobs/missing", {"digests": [d]}))
        assert type(error) is UsageError


def test_a_runner_puts_results_with_its_pools_token_and_they_are_kept_for_the_job(service):
    job = service.submit()
    runner = service.runner(job.id)
    results = Manifest.of([Entry(b"out", Kind.DIRECTORY, 0o755)]).encode()
    with service.connect(runner.token) as connection:
        blobs = HttpBlobs(connection, "/runner/v1")
        assert fetch(blobs, digest_of(SCRIPT)) == {digest_of(SCRIPT): SCRIPT}
        blobs.put_manifest(digest_of(results), results)
    service.launcher.store.run_now(manifests.drop_unreferenced, float("inf"))
    with service.connect() as connection:
        assert HttpBlobs(connection, "/v1").get_manifest(digest_of(results)) == results


@pytest.mark.parametrize("token", ["", "wrong", "other-0.00", "é"])
def test_a_runner_without_its_pools_token_is_turned_away(service, token):
    job = service.submit()
    runner = service.runner(job.id)
    runner.token = token
    for call in (runner.hello, lambda: runner.lease(1)):
        assert type(caught(call)) is UnauthorizedError
    with service.connect(token) as connection:
        error = caught(lambda: HttpBlobs(connection, "/runner/v1").missing([SNAPSHOT]))
        assert type(error) is UnauthorizedError


def test_a_runner_speaks_only_for_its_own_pool(service):
    one, two = service.submit(key="a"), service.submit(key="b")
    runner = service.runner(one.id)
    runner.token = service.runner(two.id).token
    assert type(caught(runner.hello)) is UnauthorizedError
