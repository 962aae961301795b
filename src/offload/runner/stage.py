"""The snapshot on the cluster: checked out once, copied for every attempt, and compared with afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from offload.errors import BlobMissingError, DiskFullError, OffloadError
from offload.model.manifest import Manifest, decode_manifest
from offload.runner.patience import Patience
from offload.runner.traffic import Blobs
from offload.runner.work import Workplace
from offload.snapshot.checkout import Pristine, check_out, copy_tree
from offload.snapshot.diff import Results, changed_since, send_results
from offload.wire.encoding import decoded
from offload.wire.http import Connection
from offload.wire.runner_protocol import Welcome
from offload.wire.trees import remove_tree

T = TypeVar("T")
_SPACE: Final = 600.0
"""Seconds to wait for space before a task fails for the lack of it."""


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
        self._manifest = Manifest()
        self._problem: OSError | OffloadError | None = None

    def prepare(self) -> None:
        """Check out. What goes wrong is raised by every :meth:`copy`: each task must hear of it."""
        try:
            self._manifest = decode_manifest(self._blobs.get_manifest(self._welcome.snapshot))
            _once_there_is_space(lambda: self._patience.call(self._check_out))
        except (OSError, OffloadError) as error:
            self._problem = error

    def _check_out(self) -> None:
        self._place.clear()
        try:
            check_out(self._manifest, self._blobs, self._place.pristine)
        except DiskFullError as error:  # ours; a launcher whose disk is full is waited for with patience
            raise _Full from error
        if digest := self._welcome.stdin:
            with self._place.stdin.open("wb") as file:
                for blob in self._blobs.fetch([digest]):
                    file.writelines(decoded(blob))

    def copy(self, target: Path) -> Pristine:
        """A clean copy for one attempt, and how its files look when they are untouched."""
        if self._problem is not None:
            raise self._problem

        def copy() -> Pristine:
            remove_tree(target)
            try:
                return copy_tree(self._place.pristine, target)
            except DiskFullError as error:
                raise _Full from error

        return _once_there_is_space(copy)

    def claim_bytes(self) -> int:
        """Bytes fetched since this was last asked: the attempt that asks first bears the snapshot's."""
        fetched, self._blobs.bytes_in = self._blobs.bytes_in, 0
        return fetched

    def send_results(self, files: Path, copied: Pristine) -> Sent:
        """Bring the launcher what an attempt made or changed.

        Raises:
            OffloadError: it can't be kept: something still writes, or the launcher says no.
        """
        made = changed_since(files, self._manifest, copied)
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
class Sent:
    """What the launcher has of an attempt: manifest digest or None, bytes sent, what stays behind."""

    results: str | None = None
    size: int = 0
    notices: tuple[str, ...] = ()


class _Full(Exception):  # noqa: N818  never leaves this module
    """This machine's disk is full."""


def _once_there_is_space(write: Callable[[], T]) -> T:
    """Write; on a full disk again and again for some minutes, because what fills disks often cleans up."""
    until = time.monotonic() + _SPACE
    while True:
        try:
            return write()
        except _Full as full:
            if time.monotonic() > until and full.__cause__:
                raise full.__cause__ from None
            time.sleep(1.0)
