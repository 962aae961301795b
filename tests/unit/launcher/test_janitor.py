"""Removes what nobody needs, and nothing else."""

from __future__ import annotations

import asyncio
import os

from offload.errors import BlobMissingError
from offload.launcher import janitor
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested
from offload.model.blobs import Blob, Codec
from offload.model.ids import pool_id, runner_id
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.store import events, jobs, manifests, pools, tasks
from offload.wire.packs import encode_pack
from offload.wire.runner_protocol import Completion

GONE = Reason(code=ReasonCode.RUNNER_LOST, sentence="It is gone.")
HOUR = 3600.0
DAY = 24 * HOUR


def put(parts, data: bytes, age: float) -> str:
    """Store a blob that was last wanted ``age`` seconds ago."""
    digest = digest_of(data)
    parts.content.files.put_bytes(digest, data)
    grow_old(parts, age)
    return digest


def grow_old(parts, age: float) -> None:
    at = parts.clock.now() - age
    for path in (
        parts.content.files.path(blob.digest, codec) for blob in parts.content.files for codec in (0, 1)
    ):
        if os.path.exists(path):
            os.utime(path, (at, at))


def stored(parts) -> set[str]:
    return {blob.digest for blob in parts.content.files}


async def run_to_its_end(parts, job: str, results: Manifest) -> None:
    runner = await parts.hello(job)
    lease = await parts.granted(runner)
    digest = digest_of(results.encode())
    await parts.content.put_manifest(digest, results.encode(), job=job)
    outcome = Outcome(exit_status=0, results=digest)
    await parts.lease(runner, completions=(Completion(token=lease.token, outcome=outcome),))


async def test_blobs_that_nobody_needs_are_removed_after_the_grace_period(parts):
    old = put(parts, b"old", 2 * HOUR)
    young = digest_of(b"young")
    parts.content.files.put_bytes(young, b"young")
    parts.clock._now = os.stat(parts.content.files.path(young, 0)).st_mtime
    os.utime(parts.content.files.path(old, 0), (0, 0))
    await parts.janitor.clean()
    assert stored(parts) == {young}


async def test_space_of_small_blobs_that_nobody_needs_is_given_back(parts, tmp_path):
    data = b"small"
    digest = digest_of(data)

    async def body():
        yield b"".join(encode_pack([Blob(digest, Codec.RAW, (data,))]))

    await parts.content.receive(body())
    (pack,) = (tmp_path / "blobs/packs").glob("*.pack")
    await parts.janitor.clean()
    assert stored(parts) == {digest}
    parts.clock.pass_(DAY)
    parts.content.files._packs.index.want([digest], parts.clock.now() - 2 * HOUR)
    await parts.janitor.clean()
    assert stored(parts) == set()
    assert not pack.exists()


async def test_what_a_job_needs_is_kept_however_old(parts):
    stdin = put(parts, b"input", 0)
    job = (await parts.submit(stdin=stdin)).id
    out = put(parts, b"result", 0)
    results = Manifest.of([Entry(b"out", Kind.FILE, 0o644, 6, out)])
    await run_to_its_end(parts, job, results)
    parts.clock.pass_(12 * HOUR)
    grow_old(parts, 11 * HOUR)
    before = stored(parts)
    await parts.janitor.clean()
    assert stored(parts) == before
    assert out in before
    assert stdin in before
    assert await parts.content.get_manifest(digest_of(results.encode())) == results.encode()


async def test_results_and_logs_go_after_their_retention_and_their_files_a_round_later(parts):
    job = (await parts.submit()).id
    out = put(parts, b"result", 0)
    results = Manifest.of([Entry(b"out", Kind.FILE, 0o644, 6, out)])
    log = parts.logs._path(job)
    log.write_bytes(b"")
    await run_to_its_end(parts, job, results)
    parts.clock.pass_(DAY - 1)
    await parts.janitor.clean()
    assert not (await parts.job(job)).results_removed
    assert log.exists()
    parts.clock.pass_(2)
    grow_old(parts, DAY)
    await parts.janitor.clean()
    assert (await parts.job(job)).results_removed
    assert not log.exists()
    assert stored(parts) == set()
    await parts.janitor.clean()


async def test_events_go_with_the_results_of_their_job_and_other_jobs_keep_theirs(parts, monkeypatch):
    monkeypatch.setattr(janitor, "BATCH", 2)
    old = (await parts.submit(array="1-3", key="old")).id
    for number in range(3):
        await parts.granted(await parts.hello(old, number))
        await parts.observer.over(runner_id(pool_id(old), number), GONE)
    await parts.store.run(jobs.request_cancel, old, parts.clock.now())
    await parts.store.run(tasks.end_pending, old, CancelRequested(CANCELLED_BEFORE_START), parts.clock.now())
    parts.clock.pass_(DAY)
    young = (await parts.submit(key="young")).id
    assert len(await parts.store.run(events.read, job=old)) > 4
    last = (await parts.store.run(events.read))[-1].id
    parts.clock.pass_(1)
    await parts.janitor.clean()
    assert [event.kind for event in await parts.store.run(events.read, job=old)] == ["results_removed"]
    assert [event.kind for event in await parts.store.run(events.read, job=young)] == ["submitted"]
    assert [event.job for event in await parts.store.run(events.read, after=last)] == [old]


async def test_an_unfinished_job_keeps_everything_however_old(parts):
    job = (await parts.submit()).id
    parts.clock.pass_(100 * DAY)
    grow_old(parts, 100 * DAY)
    before = stored(parts)
    await parts.janitor.clean()
    assert stored(parts) == before
    assert not (await parts.job(job)).results_removed


async def test_an_idle_launcher_soon_cleans_up_and_a_busy_one_after_the_grace_period(parts):
    assert await parts.janitor.first_round_after() < 5 * 60
    job = (await parts.submit()).id
    assert await parts.janitor.first_round_after() == HOUR
    await run_to_its_end(parts, job, Manifest())
    await parts.store.run(pools.released, pool_id(job))
    assert await parts.janitor.first_round_after() < 5 * 60


async def test_a_snapshot_that_is_asked_for_is_spared(parts):
    job = (await parts.submit()).id
    snapshot = (await parts.job(job)).spec.snapshot
    await parts.store.run(manifests.forget_results, job, limit=100)
    parts.clock.pass_(DAY)
    grow_old(parts, DAY)
    assert await parts.content.has_manifest(snapshot)
    await parts.janitor.clean()
    assert await parts.content.has_manifest(snapshot)


async def test_cleaning_while_manifests_are_put_never_leaves_one_without_its_blobs(parts):
    async def put_again(number: int) -> None:
        data = b"%d" % number
        digest = put(parts, data, DAY)
        manifest = Manifest.of([Entry(b"f", Kind.FILE, 0o644, len(data), digest)])
        named = digest_of(manifest.encode())
        try:
            await parts.content.put_manifest(named, manifest.encode())
        except BlobMissingError:
            assert not await parts.content.has_manifest(named)
        else:
            assert parts.content.files.has(digest)

    rounds = [parts.janitor.clean() for _ in range(5)]
    await asyncio.gather(*map(put_again, range(40)), *rounds)
    for number in range(40):
        data = b"%d" % number
        manifest = Manifest.of([Entry(b"f", Kind.FILE, 0o644, len(data), digest_of(data))])
        if await parts.store.run(manifests.touch, digest_of(manifest.encode()), 1.0):
            assert parts.content.files.has(digest_of(data))


async def test_a_launcher_without_retention_keeps_results_for_ever(parts):
    job = (await parts.submit()).id
    await run_to_its_end(parts, job, Manifest())
    parts.janitor._retention = None
    parts.clock.pass_(1000 * DAY)
    await parts.janitor.clean()
    assert not (await parts.job(job)).results_removed
    assert await parts.store.run(jobs.expired, parts.clock.now()) == [job]
