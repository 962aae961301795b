"""Sending: the snapshot first, then the job, each as often as it takes.

Everything here can be repeated. Blobs are named by their content, so a second try sends only what is still
missing; the submission carries a key, so a second try finds the job that the first one made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from offload.client.api import Api
from offload.client.learning import learned
from offload.client.parameters import Variation
from offload.client.plan import Plan, choose_cluster, make_spec
from offload.client.tables import rows_of
from offload.errors import BlobMissingError, FileChangedError, ScriptNotFoundError, UsageError
from offload.model.blobs import Blob, BlobSink, Codec
from offload.model.manifest import Entry, digest_of
from offload.model.parameters import Parameters
from offload.model.spec import Spec
from offload.snapshot.selection import send_selection
from offload.snapshot.sending import Meter, Progress, SmallFiles
from offload.snapshot.take import Snapshot, take_snapshot
from offload.wire.api import ClusterView, JobView, Submission
from offload.wire.blob_client import HttpBlobs
from offload.wire.places import find_places
from offload.wire.tables import manifest_of, parts_of

_CHUNK: Final = 1 << 20
_TRANSFER_TIMEOUT: Final = 300.0
"""Seconds without progress after which a transfer is given up and repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a submission needs, with the launcher already; ``learned`` says what ``auto`` chose."""

    spec: Spec
    snapshot: Snapshot
    learned: str = ""


def prepare(api: Api, plan: Plan, progress: Progress | None = None) -> Prepared:
    """Take the snapshot, send what the launcher lacks, and return the spec.

    Args:
        api: the launcher.
        plan: what will be run.
        progress: told how many bytes of how many are done.

    Raises:
        UnknownClusterError: the cluster doesn't exist.
        OffloadError: the directory can't be sent (too large, unreadable, changing, a link that leads out).
    """
    cluster = choose_cluster(api.clusters(), plan.settings.on)
    settled, sentence = learned(api, plan, cluster)
    return api.patiently(lambda: replace(_send_files(api, settled, cluster, progress), learned=sentence))


def submit(api: Api, plan: Plan, prepared: Prepared) -> JobView:
    """Submit the job; files that the launcher has removed since they were sent are sent again."""
    key = secrets.token_hex(16)
    try:
        return api.submit(Submission(spec=prepared.spec, key=key))
    except BlobMissingError:
        return api.submit(Submission(spec=prepare(api, plan).spec, key=key))


def _send_files(api: Api, plan: Plan, cluster: ClusterView, progress: Progress | None) -> Prepared:
    with api.dial(_TRANSFER_TIMEOUT) as connection:
        blobs = HttpBlobs(connection, "/v1")
        places = find_places()
        snapshot = take_snapshot(
            plan.root,
            cache_dir=places.cache,
            own=places.own,
            sink=blobs,
            limit=plan.settings.size_limit,
            progress=progress,
            without=[below for _, below in plan.variation.files] if plan.variation else (),
        )
        _check_script(plan, snapshot)
        stdin = _send_stdin(blobs, plan.settings.stdin)
        parameters = _send_parameters(blobs, plan, progress) if plan.variation else None
    spec = make_spec(plan, cluster, snapshot=snapshot.digest, stdin=stdin, parameters=parameters)
    return Prepared(spec=spec, snapshot=snapshot)


def _check_script(plan: Plan, snapshot: Snapshot) -> None:
    if plan.script is None:
        return
    path = plan.script.encode()
    if all(entry.path != path for entry in snapshot.manifest.entries):
        raise ScriptNotFoundError(
            f"{plan.script} is ignored, so it was not sent.",
            next_step=f"See which rule decides: offload explain {plan.script}",
        )


def _send_parameters(sink: BlobSink, plan: Plan, progress: Progress | None) -> Parameters | None:
    """Send the table, and the files that the tasks work on; None when there is nothing to send."""
    variation = plan.variation
    if variation is None or variation.parameters.table is None:
        return None
    table = variation.parameters.table
    if variation.files:
        paths = [below for _, below in variation.files]
        limit, cache = plan.settings.size_limit, find_places().cache
        entries, files = send_selection(
            plan.root, paths, cache_dir=cache, sink=sink, limit=limit, progress=progress
        )
        # A task finds the line of its file in its row, and needs no list of all of them.
        rows: Iterable[Sequence[str]] = map(_row_of, variation.files, entries)
        table = replace(table, files=files)
    else:
        rows = _table_rows(variation)
    table = replace(table, digest=_send_table(sink, rows))
    return replace(variation.parameters, table=table)


def _row_of(file: tuple[str, str], entry: Entry) -> tuple[str, ...]:
    return (file[0], file[1], f"{entry.mode:o}", str(entry.size), entry.digest)


def _table_rows(variation: Variation) -> Iterator[list[str]]:
    found = variation.table
    if found is None:
        return
    count = 0
    for row in rows_of(found):
        count += 1
        yield row
    if count != found.rows:
        raise FileChangedError(
            f"{found.path.name} changed while it was read.", next_step="Wait until nothing writes to it."
        )


def _send_table(sink: BlobSink, rows: Iterable[Sequence[str]]) -> str:
    entries: list[Entry] = []
    with SmallFiles(sink, Meter(None)) as small:
        for entry, data in parts_of(rows):
            small.add(entry.digest, data)
            entries.append(entry)
    manifest = manifest_of(entries)
    sink.put_manifest(digest_of(manifest), manifest)
    return digest_of(manifest)


def _send_stdin(blobs: HttpBlobs, file: str | None) -> str | None:
    if file is None:
        return None
    try:
        with Path(file).open("rb") as opened:
            digest = "sha256:" + hashlib.file_digest(opened, "sha256").hexdigest()
        if blobs.missing([digest]):
            blobs.put([Blob(digest, Codec.RAW, _chunks(Path(file)))])
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"--stdin: {file} can't be read: {error.strerror}.") from error
    return digest


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
