"""Bringing results home: into the directory that the job came from, or into any other one.

A plain job plays back into its home. Many tasks would overwrite each other there, so task N goes to
``results/JOB/N/`` below it, or where the job says; an ``.offloadignore`` beside them keeps these files from
being sent along with the next job. What many tasks made can be collected while others still run. Nothing that
differs at home is ever overwritten, and collecting twice changes nothing.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from offload.client.api import Api
from offload.client.endings import ended_in_order
from offload.errors import JobNotFinishedError, PlaybackError, ResultsGoneError
from offload.model.manifest import Manifest, decode_manifest
from offload.model.placement import DEFAULT_PLACE, own_folder, place_of
from offload.snapshot.playback import PlaybackReport, play_back
from offload.wire.api import JobView, TaskView
from offload.wire.blob_client import HttpBlobs
from offload.wire.places import current_directory, find_places


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came home from one task.

    Attributes:
        task: its index.
        target: the directory that it was played back into.
        size: bytes of all result files.
        report: which files are new, changed, the same, or lie beside one that is kept.
        edited: of those that are kept, which were sent with the job and changed since.
    """

    task: int
    target: Path
    size: int
    report: PlaybackReport
    edited: frozenset[bytes] = frozenset()


def collect(api: Api, job: JobView, *, to: Path | None = None) -> list[Collected]:
    """Play back everything that the job's tasks made.

    Args:
        api: the launcher.
        job: a job that has ended, or one of many tasks, of which those that have ended are collected.
        to: where to; None is where the job came from.

    Raises:
        JobNotFinishedError: it has one task, which hasn't ended.
        ResultsGoneError: its results are past their retention.
        PlaybackError: its home is another machine, has gone, or can't be written; what can be is there.
        DiskFullError: there is no space; what was made is still with the launcher.
    """
    if not job.state.is_terminal and not job.spec.is_array:
        raise JobNotFinishedError(
            f"{job.id} hasn't ended yet, so there is nothing to collect.",
            next_step=f"Wait for it: offload wait {job.id}",
        )
    if job.results_removed:
        raise ResultsGoneError(
            f"The results of {job.id} are past their retention and were removed.",
            next_step=f"Run it once more: offload rerun {job.id}",
        )
    made = list(api.tasks(job.id, results=True))
    if not made:
        return []
    home = _absolute(to) if to else home_of(job)
    with ended_in_order():
        return api.patiently(lambda: _play_back_all(api, job, made, home, elsewhere=to is not None))


def _absolute(path: Path) -> Path:
    return path if path.is_absolute() else current_directory() / path


def home_of(job: JobView) -> Path:
    """The directory on this machine that the job came from.

    Raises:
        PlaybackError: it is on another machine, or no longer there.
    """
    parts = urlsplit(job.spec.home)
    home = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    step = f"Say where they should go: offload collect {job.id} --to DIR"
    if parts.netloc.lower() != socket.gethostname().lower():
        raise PlaybackError(f"The results of {job.id} belong to {home} on {parts.netloc}.", next_step=step)
    if not home.is_dir():
        raise PlaybackError(
            f"The results of {job.id} belong to {home}, which is no longer there.", next_step=step
        )
    return home


def _play_back_all(
    api: Api, job: JobView, made: list[TaskView], home: Path, *, elsewhere: bool
) -> list[Collected]:
    collected, refused = list[Collected](), list[PlaybackError]()
    with api.dial() as connection:
        blobs = HttpBlobs(connection, "/v1")
        # Elsewhere nothing of the snapshot lies, so whatever lies there is kept.
        plain = not elsewhere and not job.spec.is_array
        before = decode_manifest(blobs.get_manifest(job.spec.snapshot)) if plain else Manifest()
        for task in made:
            try:
                target = _target(job, task, home, elsewhere=elsewhere)
                collected.append(_play_back(blobs, job, task, before, target))
            except PlaybackError as error:
                refused.append(error)
    if refused:
        raise _together(refused, len(made))
    return collected


def _play_back(blobs: HttpBlobs, job: JobView, task: TaskView, before: Manifest, target: Path) -> Collected:
    results = decode_manifest(blobs.get_manifest(str(task.results)))
    locks = find_places().cache / "locks"
    report = play_back(results, before, blobs, target, label=job.id, lock_dir=locks)
    return Collected(
        task=task.index, target=target, size=results.size, report=report, edited=_edited(report, before)
    )


def _together(refused: list[PlaybackError], tasks: int) -> PlaybackError:
    """What couldn't be written of one task, or of some of many."""
    first, came = refused[0], tasks - len(refused)
    if tasks == 1:
        return first
    many = f" So it is with {len(refused)} of {tasks} tasks." if len(refused) > 1 else ""
    rest = f" What the other {came} made is home." if came else ""
    return PlaybackError(f"{first.sentence}{many}{rest}", next_step=first.next_step)


def _edited(report: PlaybackReport, before: Manifest) -> frozenset[bytes]:
    kept = {path for path, _ in report.beside}
    return frozenset(entry.path for entry in before.entries if entry.path in kept) if kept else frozenset()


def _target(job: JobView, task: TaskView, home: Path, *, elsewhere: bool) -> Path:
    if not job.spec.is_array:
        folder = private = home
    elif elsewhere:
        folder = private = home / str(task.index)
    else:
        pattern = job.spec.results or DEFAULT_PLACE
        values = task.parameters or {}
        folder = home / place_of(pattern, job=job.id, task=task.index, values=values)
        own = own_folder(pattern, job.id)
        private = home / own if own else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if job.spec.is_array and not elsewhere:
            (private / ".offloadignore").write_text("*\n")
    except OSError as error:
        raise PlaybackError(
            f"{folder} can't be made: {error.strerror}.",
            next_step=f"Choose another place: offload collect {job.id} --to DIR",
        ) from error
    return folder
