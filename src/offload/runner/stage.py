"""The snapshot on the cluster: checked out once, a clean copy for every attempt, compared with afterwards."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import BlobMissingError, DiskFullError, OffloadError, disk_full
from offload.model.manifest import Manifest, decode_manifest
from offload.runner.inputs import Input, Inputs, with_file
from offload.runner.patience import Patience
from offload.runner.traffic import Blobs
from offload.runner.work import Workplace
from offload.snapshot.checkout import check_out
from offload.snapshot.diff import Results, changed_since, send_results
from offload.snapshot.working_copy import Pristine, WorkingCopy
from offload.wire.encoding import decoded
from offload.wire.http import Connection
from offload.wire.runner_protocol import Welcome
from offload.wire.trees import remove_tree

_FULL: Final = "There is no space left for the task's file on the cluster."
_FREE: Final = "Free space there, or ask for the job to run elsewhere."


class Stage:
    """Files of one job beside its tasks.

    Args:
        welcome: names the snapshot and the standard input.
        place: where they go.
        patience: for the launcher's absence.
        connection: of the main thread.
    """

    def __init__(
        self, welcome: Welcome, place: Workplace, patience: Patience, connection: Connection
    ) -> None:
        self._welcome = welcome
        self._place = place
        self._patience = patience
        self._blobs = Blobs(connection, patience)
        self._inputs = Inputs(welcome.parameters, self._blobs, patience)
        self._manifest = Manifest()
        self._copy = WorkingCopy(place.pristine, place.files)
        self._problem: BaseException | None = None

    def prepare(self) -> None:
        """Check out. What goes wrong is raised by every :meth:`set_up`: each task must hear of it."""
        self._problem = None
        try:
            self._manifest = decode_manifest(self._blobs.get_manifest(self._welcome.snapshot))
            self._patience.call(self._check_out)
        except _Full as full:
            remove_tree(self._place.pristine)
            self._problem = full.__cause__
        except (OSError, OffloadError) as error:
            self._problem = error

    def _check_out(self) -> None:
        remove_tree(self._place.pristine)
        try:
            check_out(self._manifest, self._blobs, self._place.pristine)
        except DiskFullError as error:
            raise _Full from error
        if digest := self._welcome.stdin:
            with self._place.stdin.open("wb") as file:
                for blob in self._blobs.fetch([digest]):
                    file.writelines(decoded(blob))

    def input_of(self, task: int) -> Input:
        """What a task gets that others don't; raises ``OffloadError`` when it can't be had."""
        return self._inputs.of(task)

    def set_up(self, given: Input) -> Start:
        """Make a clean copy for one attempt, with the file that is its own.

        Raises:
            DiskFullError: there is no space; nothing is left behind, and it may be called again.
            OffloadError: the snapshot can't be had.
        """
        if isinstance(self._problem, DiskFullError):
            self.prepare()
        if self._problem is not None:
            raise self._problem
        try:
            copied = self._copy.fill()
            files = self._place.files
            with disk_full(_FULL, _FREE):
                if given.file:
                    self._inputs.place(given.file, files)
            return Start(manifest=with_file(self._manifest, given.file, files), copied=copied)
        except DiskFullError:
            self._copy.tidy()
            raise

    def tidy(self) -> None:
        """Remove what an attempt made or changed, as far as that can be done: the next one is told so."""
        with contextlib.suppress(OSError):
            self._copy.tidy()

    def discard(self) -> None:
        """Keep nothing of the copy for the next attempt: a process of this one couldn't be ended."""
        self._copy.discard()

    def claim_bytes(self) -> int:
        """Bytes fetched since this was last asked: the attempt that asks first bears the snapshot's."""
        fetched, self._blobs.bytes_in = self._blobs.bytes_in, 0
        return fetched

    def send_results(self, start: Start) -> Sent:
        """Bring the launcher what an attempt made or changed.

        Raises:
            OffloadError: it can't be kept: something still writes, or the launcher says no.
        """
        files = self._place.files
        made = changed_since(files, start.manifest, start.copied)
        before = self._blobs.bytes_out
        if made.manifest.entries:
            self._patience.call(lambda: self._send(files, made))
        return Sent(
            results=made.digest if made.manifest.entries else None,
            size=self._blobs.bytes_out - before,
            notices=made.notices,
        )

    def _send(self, files: Path, made: Results) -> None:
        try:
            send_results(files, made, self._blobs)
        except BlobMissingError:  # the launcher let go of something in between; it is asked anew
            send_results(files, made, self._blobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What an attempt started from, and how its files look while they are untouched."""

    manifest: Manifest
    copied: Pristine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the launcher has of an attempt: manifest digest or None, bytes sent, what stays behind."""

    results: str | None = None
    size: int = 0
    notices: tuple[str, ...] = ()


class _Full(Exception):  # noqa: N818  never leaves this module
    """This machine's disk is full; a launcher whose disk is full is waited for with patience."""
