"""What makes a task differ from the others: the values of its parameters, and the file that it works on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from offload.model.manifest import Entry, Kind, Manifest, parents
from offload.model.parameters import Parameters, Table
from offload.runner.patience import Patience
from offload.runner.traffic import Blobs
from offload.snapshot.checkout import sized
from offload.snapshot.writing import write_file
from offload.wire.tables import TableReader

_OPEN: Final = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Of one task.

    Attributes:
        values: of its parameters, by name.
        file: the file that only this task gets, as a line of a manifest; None without one.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    file: Entry | None = None


class Inputs:
    """Looks up what each task of a job gets.

    Args:
        parameters: of the job; None when only the indices of its tasks differ.
        blobs: of the launcher, for the thread that executes attempts.
        patience: for the launcher's absence.
    """

    def __init__(self, parameters: Parameters | None, blobs: Blobs, patience: Patience) -> None:
        self._parameters = parameters
        self._blobs = blobs
        self._patience = patience
        self._reader: TableReader | None = None

    def of(self, task: int) -> Input:
        """What the task with this index gets.

        Raises:
            OffloadError: the table can't be had.
        """
        if self._parameters is None:
            return Input()
        table = self._parameters.table
        if table is None:
            return Input(values=self._parameters.values_of(task - 1))
        row = self._row(table, task - 1)
        values = table.values_of(row)
        if table.files is None:
            return Input(values=values)
        _, path, mode, size, digest = row
        return Input(values=values, file=Entry(path.encode(), Kind.FILE, int(mode, 8), int(size), digest))

    def _row(self, table: Table, position: int) -> list[str]:
        if self._reader is None:
            self._reader = TableReader(self._blobs.get_manifest(table.digest), self._blobs.fetch)
        reader = self._reader
        return self._patience.call(lambda: reader.row(position))

    def place(self, file: Entry, root: Path) -> None:
        """Write a task's file into its copy of the snapshot, with the directories above it.

        Raises:
            OSError: it can't be written.
            OffloadError: its content can't be had.
        """
        path = os.path.join(os.fsencode(root), file.path)
        os.makedirs(os.path.dirname(path), _OPEN, exist_ok=True)
        self._patience.call(lambda: self._write(file, path))

    def _write(self, file: Entry, path: bytes) -> None:
        for blob in self._blobs.fetch([file.digest]):
            write_file(path, sized(blob, file.size), file.mode)


def with_file(snapshot: Manifest, file: Entry | None, root: Path) -> Manifest:
    """The snapshot as the task found it: with its file, and with the directories that were made for it."""
    if file is None:
        return snapshot
    known = {entry.path for entry in snapshot.entries}
    made = [path for path in parents(file.path) if path not in known]
    modes = [os.stat(os.path.join(os.fsencode(root), path)).st_mode & 0o777 for path in made]
    above = [Entry(path, Kind.DIRECTORY, mode) for path, mode in zip(made, modes, strict=True)]
    return Manifest.of([*snapshot.entries, *above, file])
