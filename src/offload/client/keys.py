"""The one list of what can be asked of a job, each with how its text is read.

The options of ``offload run`` are made from :data:`KEYS`, and the directives of a script use its names, so
the two can't drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from offload.errors import UsageError
from offload.model.array import MAX_TASKS, parse_array
from offload.model.failure import ALIKE
from offload.model.grid import parse_axis
from offload.model.resources import format_size, parse_cpus, parse_duration, parse_memory
from offload.model.spec import (
    DEFAULT_GRACE,
    LEAST_GROWTH,
    MEMORY_GROWTH,
    MOST_GROWTH,
    MOST_RUNNING,
)
from offload.model.warning import parse_warning
from offload.snapshot.guard import DEFAULT_LIMIT

AUTO: Final = "auto"
YES: Final = "yes"
_MOUNT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)(:/[^\0\n]*)?")


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be asked: how its text is read, and what the help says about it.

    One without ``metavar`` needs no value: to name it is to say ``yes``.
    """

    read: Callable[[str], Any]
    metavar: str
    help: str


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text.strip()):
        raise UsageError(f"{text!r} is not a whole number.", next_step="Write it like 0, 1 or 4.")
    return int(text)


_CHOICES: Final = {YES: True, "true": True, "no": False, "false": False}


def _memory(text: str) -> int | str:
    return AUTO if text.strip().lower() == AUTO else parse_memory(text)


def _growth(text: str) -> float:
    plain = text.strip().removesuffix("x")
    factor = float(plain) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", plain) else 0.0
    if factor != 1 and not LEAST_GROWTH <= factor <= MOST_GROWTH:
        raise UsageError(
            f"{text!r} is not a factor by which memory grows.",
            next_step=f"Write {LEAST_GROWTH:g} to {MOST_GROWTH:g}, such as {MEMORY_GROWTH:g}, or 1: never.",
        )
    return factor


def _tasks(most: int) -> Callable[[str], int]:
    """Reads a number of tasks, from 1 to ``most``."""

    def read(text: str) -> int:
        if not 1 <= (number := _whole(text)) <= most:
            raise UsageError(f"{number} can't be a number of tasks.", next_step=f"Write 1 to {most:,}.")
        return number

    return read


def _choice(text: str) -> bool:
    if (word := text.strip().lower()) not in _CHOICES:
        raise UsageError(f"{text!r} is neither yes nor no.", next_step="Write yes or no.")
    return _CHOICES[word]


def _grace(text: str) -> float:
    return 0.0 if re.fullmatch(r"0+s?", text.strip()) else parse_duration(text)


def _word(text: str) -> str:
    if not text.strip():
        raise UsageError("It must not be empty.")
    if "\n" in text:
        raise UsageError(
            f"{text!r} must be one line.", next_step="Write it, or name it, without line breaks."
        )
    return text


NO_FILE: Final = "Has a pattern or a variable given nothing?"
LET_LOOK: Final = "Let Offload look for the files: offload run --over 'data/*.csv' -- clean.R"


def _file(text: str) -> str:
    if not text.strip():
        raise UsageError(f"It names no file. {NO_FILE}", next_step=LET_LOOK)
    return _word(text)


def _mount(text: str) -> str:
    if not _MOUNT.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a mount.",
            next_step="Write it like NAME, or NAME:/path to say where it appears.",
        )
    return text


REPEATED: Final = ("grid", "over", "env", "mount")
"""Keys that may be given several times."""
VARYING: Final = ("array", "grid", "params", "over")
"""Keys that say what the tasks are; a job has one of them, and the command line's replaces the script's."""
KEYS: Final[dict[str, Key]] = {
    "cpus": Key(parse_cpus, "N", "CPUs, fractions allowed: 4, 0.5.  [default: 1]"),
    "memory": Key(
        _memory,
        "SIZE",
        "Memory limit, such as 500Mi or 4Gi; `auto` is what earlier jobs with this script needed, and a "
        "quarter more.  [default: no limit]",
    ),
    "memory-growth": Key(
        _growth,
        "FACTOR",
        "A task that ran out of memory is run again with so many times as much, until there is no more; "
        f"1: never.  [default: {MEMORY_GROWTH:g}]",
    ),
    "gpus": Key(_whole, "N", "Whole GPUs.  [default: 0]"),
    "time": Key(parse_duration, "TIME", "Time limit, such as 30m, 2h or 1-12:00:00.  [default: none]"),
    "grace": Key(
        _grace, "TIME", f"Time between asking a script to end and ending it.  [default: {DEFAULT_GRACE:g}s]"
    ),
    "warn": Key(
        parse_warning,
        "[SIGNAL@]TIME",
        "Send the script SIGUSR1, or another signal, this long before its time limit: 5m, INT@5m.  "
        "[default: no warning]",
    ),
    "array": Key(
        parse_array, "RANGE", "One task per index: 1-20, 0-99:10, 1,3,5-9. The script reads $OFFLOAD_TASK."
    ),
    "grid": Key(
        parse_axis,
        "NAME=VALUES",
        "One task per combination: lr=0.1,0.01 seed=1:100. May be repeated; the first varies slowest.",
    ),
    "params": Key(_word, "FILE", "One task per row of a table: .csv, .tsv, .jsonl, .parquet."),
    "over": Key(
        _file, "FILES", "One task per file: --over data/*.csv -- clean.R. A task gets only its file."
    ),
    "results": Key(
        _word,
        "PATTERN",
        "Where the files of a task come home, such as out/{job}/{task}.  [default: results/{job}/{task}]",
    ),
    "max-running": Key(
        _tasks(MOST_RUNNING),
        "N",
        "How many of the tasks may run at a time.  [default: as many as there is room for, at most 64]",
    ),
    "fail-fast": Key(
        _tasks(MAX_TASKS),
        "N",
        "Give up once N tasks have failed.  [default: the other tasks go on, however many fail]",
    ),
    "keep-going": Key(
        _choice, "", f"Don't pause when none of the tasks succeeds and the first {ALIKE} fail alike."
    ),
    "retries": Key(_whole, "N", "How often a failed task is tried again.  [default: 0]"),
    "env": Key(str, "NAME[=VALUE]", "Set a variable, or send the one that is set here. May be repeated."),
    "image": Key(_word, "IMAGE", "Container image.  [default: the cluster's for the language]"),
    "profile": Key(_word, "NAME", "One of the cluster's profiles, such as a kind of GPU."),
    "mount": Key(_mount, "NAME[:PATH]", "Let it see one of the cluster's mounts. May be repeated."),
    "queue": Key(_word, "NAME", "The cluster's queue to wait in."),
    "name": Key(_word, "NAME", "What the job is called.  [default: the script's name]"),
    "on": Key(_word, "CLUSTER", "Where to run; `offload clusters` lists them."),
    "stdin": Key(_word, "FILE", "Standard input of the script.  [default: empty]"),
    "test-preemption": Key(
        parse_duration,
        "TIME",
        "Interrupt the first attempt of each task after this time, to see that the next one goes on from "
        "$OFFLOAD_CHECKPOINT.",
    ),
    "size-limit": Key(
        partial(parse_memory, what="a size"),
        "SIZE",
        f"Largest directory that may be sent.  [default: {format_size(DEFAULT_LIMIT)}]",
    ),
}
"""Everything that an option or a directive can ask for, by its name there."""
