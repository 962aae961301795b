"""Where the results of many tasks come home: a folder for each, never one for two.

``results/{job}/{task}`` unless a pattern says otherwise. A pattern is a path below the working directory with
``{job}``, ``{task}`` and the names of parameters. A value becomes a part of a path without changing where it
leads: what would do so (``/``, a lone ``..``) is percent-encoded, so two values never become one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from offload.model.parameters import fill, mentioned

DEFAULT_PLACE: Final = "results/{job}/{task}"
_UNSAFE: Final = re.compile(r"[/%\x00-\x1f\x7f\\]")


def place_of(pattern: str, *, job: str, task: int, values: Mapping[str, str]) -> str:
    """The folder of a task, relative to where results belong."""
    known = {name: part_of(value) for name, value in values.items()}
    return fill(pattern, {**known, "job": job, "task": str(task)})


def part_of(value: str) -> str:
    """A value as part of a path; two values never become one."""
    text = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", value)
    return text.replace(".", "%2E", 1) if text.startswith(".") else text or "%"


def own_folder(pattern: str, job: str) -> str | None:
    """The outermost folder that holds nothing but this job's results; None when there is none."""
    parts = PurePosixPath(pattern).parts
    for number, part in enumerate(parts, start=1):
        names = mentioned(part)
        if "job" in names and all(name == "job" for name in names):
            return fill("/".join(parts[:number]), {"job": job})
        if names:
            return None
    return None


def pattern_mistakes(pattern: str, names: Sequence[str], *, is_array: bool, unique: bool) -> list[str]:
    """What is wrong with a pattern, a sentence each.

    Args:
        pattern: as it was written.
        names: of the parameters.
        is_array: whether the job has many tasks at all.
        unique: whether no two tasks have the same values.
    """
    if not is_array:
        return ["it says where each of many tasks leaves its files, and this job has one task."]
    wrong = []
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or "\0" in pattern:
        wrong.append(f"{pattern!r} must be a path below the working directory, without `..`.")
    known = {"job", "task", *names}
    if unknown := sorted(set(mentioned(pattern)) - known):
        braces = ", ".join(f"{{{name}}}" for name in unknown)
        wrong.append(
            f"{braces} is not known; there is {', '.join(f'{{{name}}}' for name in ('job', 'task', *names))}."
        )
    used = set(mentioned(pattern))
    if "task" not in used and not (unique and used.issuperset(names)):
        every = " or every parameter of the grid" if unique else ""
        wrong.append(f"{pattern!r} would mix the files of different tasks; mention {{task}}{every} in it.")
    return wrong
