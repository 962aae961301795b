"""Sending: the snapshot first, then the job, each as often as it takes.

Everything here can be repeated. Blobs are named by their content, so a second try sends only what is still
missing; the submission carries a key, so a second try finds the job that the first one made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.client.api import Api
from offload.client.plan import Plan, choose_cluster, make_spec
from offload.errors import BlobMissingError, ScriptNotFoundError, UsageError
from offload.model.blobs import Blob, Codec
from offload.model.spec import Spec
from offload.snapshot.sending import Progress
from offload.snapshot.take import Snapshot, take_snapshot
from offload.wire.api import ClusterView, JobView, Submission
from offload.wire.blob_client import HttpBlobs
from offload.wire.places import find_places

_CHUNK: Final = 1 << 20
_TRANSFER_TIMEOUT: Final = 300.0
"""Seconds without progress after which a transfer is given up and repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a submission needs, with the launcher already."""

    spec: Spec
    snapshot: Snapshot


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
    return api.patiently(lambda: _send_files(api, plan, cluster, progress))


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
        snapshot = take_snapshot(
            plan.root,
            cache_dir=find_places().cache,
            sink=blobs,
            limit=plan.settings.size_limit,
            progress=progress,
        )
        _check_script(plan, snapshot)
        stdin = _send_stdin(blobs, plan.settings.stdin)
    return Prepared(spec=make_spec(plan, cluster, snapshot=snapshot.digest, stdin=stdin), snapshot=snapshot)


def _check_script(plan: Plan, snapshot: Snapshot) -> None:
    if plan.script is None:
        return
    path = plan.script.encode()
    if all(entry.path != path for entry in snapshot.manifest.entries):
        raise ScriptNotFoundError(
            f"{plan.script} is ignored, so it was not sent.",
            next_step=f"See which rule decides: offload explain {plan.script}",
        )


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
