"""What makes the tasks of a job differ: ``--grid``, ``--params`` or ``--over``, before anything is sent."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from offload.client.languages import TAKES_NO_ARGUMENTS
from offload.client.mistakes import noted, together
from offload.client.settings import COMMAND_LINE, Settings
from offload.client.tables import TableFile, look_at
from offload.client.words import is_text
from offload.errors import UsageError
from offload.model.apart import mixing_mistakes
from offload.model.array import MAX_TASKS, Array
from offload.model.parameters import Parameters, Table, mentioned, uses_any
from offload.model.placement import pattern_mistakes

FILE: Final = "file"
"""The parameter of ``--over``."""
_OF_MANY: Final = {
    "max-running": "how many of the tasks may run at a time",
    "fail-fast": "how many failed tasks end the job",
    "keep-going": "what to do when the first tasks all fail",
}
"""Keys that mean something for many tasks alone."""
UNSENT: Final = "sha256:" + 64 * "0"
"""Stands for a digest until the table is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The parameters of a plan.

    Attributes:
        parameters: as they will be submitted, but for the digests of what isn't sent yet.
        table: the file of ``--params``.
        files: value and path below the root of each file of ``--over``.
        source: ``grid``, ``params`` or ``over``: what was asked with.
    """

    parameters: Parameters
    source: str
    table: TableFile | None = None
    files: tuple[tuple[str, str], ...] = ()

    @property
    def array(self) -> Array:
        """The indices of the tasks: from 1."""
        return Array(((1, self.parameters.count, 1),))


def vary(
    settings: Settings, command: Sequence[str], *, root: Path, here: Path, script: str | None
) -> Variation | None:
    """The variation that was asked for; None when every task is to be the same.

    Args:
        settings: what was asked.
        command: the argv, in which parameters may be mentioned.
        root: the directory that is sent.
        here: where the person stands.
        script: path below the root; None for a command.

    Raises:
        UsageError: a table or a file isn't in order, or something mentions a parameter that isn't there.
    """
    variation, mistakes = None, list[UsageError]()
    with noted(mistakes):
        variation = _source(settings, root=root, here=here, script=script)
    names = variation.parameters.names if variation else ()
    is_array = variation is not None or settings.array is not None
    if variation is not None:
        mistakes += _unknown(command, names)
    if not is_array and not mistakes:
        mistakes += _idle(settings)
    if settings.results is not None and not mistakes:
        unique = variation is not None and variation.source == "grid"
        wrong = pattern_mistakes(settings.results, names, is_array=is_array, unique=unique)
        if variation is not None and not wrong:
            wrong = mixing_mistakes(settings.results, variation.parameters, variation.array)
        mistakes += [UsageError(f"--results: {sentence}") for sentence in wrong]
    if mistakes:
        raise together(mistakes)
    if variation is None:
        return None
    takes = script is None or Path(script).suffix not in TAKES_NO_ARGUMENTS
    appended = takes and not uses_any(command, names)
    return replace(variation, parameters=replace(variation.parameters, appended=appended))


def _idle(settings: Settings) -> Iterator[UsageError]:
    """What the command line says of many tasks for a job that has one; a script may be for both."""
    for key, why in _OF_MANY.items():
        if settings.origins.get(key) == COMMAND_LINE and getattr(settings, key.replace("-", "_")):
            yield UsageError(
                f"--{key}: it says {why}, and this job has one task.",
                next_step="Leave it out, or add --array.",
            )


def _source(settings: Settings, *, root: Path, here: Path, script: str | None) -> Variation | None:
    if settings.grid:
        parameters = Parameters(grid=settings.grid)
        _check_number(parameters.count, "The grid")
        return Variation(parameters=parameters, source="grid")
    if settings.params is not None:
        found = look_at(settings.params, here)
        table = Table(digest=UNSENT, columns=found.columns, rows=found.rows)
        return Variation(parameters=Parameters(table=table), source="params", table=found)
    if settings.over:
        files = find_files(settings.over, root=root, here=here, script=script)
        _check_number(len(files), "--over")
        table = Table(digest=UNSENT, columns=(FILE,), rows=len(files), files=UNSENT)
        return Variation(parameters=Parameters(table=table), source="over", files=files)
    return None


def _check_number(tasks: int, what: str) -> None:
    if tasks > MAX_TASKS:
        raise UsageError(
            f"{what} makes {tasks:,} tasks; a job has at most {MAX_TASKS:,}.",
            next_step="Run it in parts, or let a task do more than one value.",
        )


def _unknown(command: Iterable[str], names: Sequence[str]) -> list[UsageError]:
    found = dict.fromkeys(name for word in command for name in mentioned(word) if name not in names)
    return [_no_parameter(name, names) for name in found]


def _no_parameter(name: str, names: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"Did you mean {{{near[0]}}}? " if near else ""
    return UsageError(
        f"An argument mentions {{{name}}}, but no parameter is called so; there is {', '.join(names)}.",
        next_step=f"{meant}To mean the text itself, write {{{{{name}}}}}.",
    )


def find_files(
    words: Sequence[str], *, root: Path, here: Path, script: str | None
) -> tuple[tuple[str, str], ...]:
    """The files that ``--over`` names: as a task sees them from where it starts, and below the root.

    A word is the path of a file or a pattern such as ``data/*.csv``; ``**`` crosses directories.

    Raises:
        UsageError: a word names nothing, or something that can't be sent; every mistake is told.
    """
    found: dict[str, str] = {}
    mistakes: list[UsageError] = []
    for word in words:
        with noted(mistakes):
            for path in _matches(word, here):
                below = _below(path, root, here, script)
                found.setdefault(below, os.path.relpath(path, here))
    if mistakes:
        raise together(mistakes)
    return tuple((value, below) for below, value in found.items())


def _matches(word: str, here: Path) -> list[Path]:
    path = here / word
    if path.is_file():
        return [path]
    if path.is_dir():
        raise UsageError(
            f"--over: {word} is a directory.",
            next_step=f"Name the files in it: --over '{word.rstrip('/')}/*'",
        )
    if not glob.has_magic(word):
        raise UsageError(f"--over: there is no file {word}.")
    names = sorted(glob.glob(word, root_dir=here, recursive=True))
    if files := [here / name for name in names if (here / name).is_file()]:
        return files
    raise UsageError(f"--over: no file matches {word}.")


def _below(path: Path, root: Path, here: Path, script: str | None) -> str:
    # Not resolved: a file of the set may be a link to where the data really are.
    plain = Path(os.path.normpath(path))
    shown = os.path.relpath(path, here)
    if not plain.is_relative_to(root):
        raise UsageError(
            f"--over: {shown} lies outside {root}, so it would not be sent.",
            next_step="Send a directory that holds it: offload run --root DIR …",
        )
    below = plain.relative_to(root).as_posix()
    if below == script:
        raise UsageError(f"--over: {shown} is the script itself.", next_step="Leave it out of the files.")
    if not is_text(below):
        raise UsageError(f"--over: {shown!a} isn't UTF-8 text.", next_step="Rename the file.")
    return below
