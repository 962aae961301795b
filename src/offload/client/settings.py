"""What a job was asked for, and who asked: the default, a directive of the script, or the command line.

:data:`KEYS` is the one list of what can be asked. The options of ``offload run`` are made from it, and the
directives of a script use its names, so the two can't drift apart. Merging is pure; it reports every
mistake at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from offload.client.directives import Directive
from offload.errors import OffloadError, UsageError
from offload.model.array import Array, parse_array
from offload.model.resources import parse_cpus, parse_duration, parse_memory
from offload.model.spec import DEFAULT_GRACE

DEFAULT: Final = "default"
COMMAND_LINE: Final = "command line"
SIZE_LIMIT: Final = 500_000_000
"""Bytes that a working directory may hold before it is refused."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked, with the defaults filled in.

    Attributes:
        cpus: CPUs of one task.
        memory: bytes, or None for no limit.
        gpus: whole GPUs.
        time: seconds of wall time per attempt, or None.
        grace: seconds between SIGTERM and SIGKILL.
        array: the indices of the tasks; None is a plain job.
        retries: how many failed attempts of one task are repeated.
        env: variables the command sees.
        name: what the job is called; None is the script's name.
        on: the cluster; None lets the launcher's only or local one be taken.
        stdin: path of the file that is the standard input; None is empty input.
        size_limit: bytes that the working directory may hold.
        origins: where each value that isn't a default came from, by key; ``env.NAME`` for a variable.
    """

    cpus: float = 1.0
    memory: int | None = None
    gpus: int = 0
    time: float | None = None
    grace: float = DEFAULT_GRACE
    array: Array | None = None
    retries: int = 0
    env: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    on: str | None = None
    stdin: str | None = None
    size_limit: int = SIZE_LIMIT
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be asked: how its text is read, and what the help says about it."""

    read: Callable[[str], Any]
    metavar: str
    help: str


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text.strip()):
        raise UsageError(f"{text!r} is not a whole number.", next_step="Write it like 0, 1 or 4.")
    return int(text)


def _grace(text: str) -> float:
    return 0.0 if re.fullmatch(r"0+s?", text.strip()) else parse_duration(text)


def _word(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise UsageError("It must not be empty, and must be one line.")
    return text


KEYS: Final[dict[str, Key]] = {
    "cpus": Key(parse_cpus, "N", "CPUs, fractions allowed: 4, 0.5.  [default: 1]"),
    "memory": Key(parse_memory, "SIZE", "Memory limit, such as 500Mi or 4Gi.  [default: no limit]"),
    "gpus": Key(_whole, "N", "Whole GPUs.  [default: 0]"),
    "time": Key(parse_duration, "TIME", "Time limit, such as 30m, 2h or 1-12:00:00.  [default: none]"),
    "grace": Key(
        _grace, "TIME", f"Time between asking a script to end and ending it.  [default: {DEFAULT_GRACE:g}s]"
    ),
    "array": Key(
        parse_array, "RANGE", "One task per index: 1-20, 0-99:10, 1,3,5-9. The script reads $OFFLOAD_TASK."
    ),
    "retries": Key(_whole, "N", "How often a failed task is tried again.  [default: 0]"),
    "env": Key(str, "NAME[=VALUE]", "Set a variable, or send the one that is set here. May be repeated."),
    "name": Key(_word, "NAME", "What the job is called.  [default: the script's name]"),
    "on": Key(_word, "CLUSTER", "Where to run; `offload clusters` lists them."),
    "stdin": Key(_word, "FILE", "Standard input of the script.  [default: empty]"),
    "size-limit": Key(parse_memory, "SIZE", "Largest directory that may be sent.  [default: 500 MB]"),
}
"""Everything that an option or a directive can ask for, by its name there."""


def merge(
    directives: Sequence[Directive],
    options: Iterable[tuple[str, str]],
    environ: Mapping[str, str],
    script: str = "the script",
) -> Settings:
    """The settings that directives and options ask for together; an option wins over a directive.

    Args:
        directives: what the script says.
        options: key and text of each option given, repeated ones in order.
        environ: where ``--env NAME`` takes its value from.
        script: what messages call the script.

    Raises:
        UsageError: any key or value isn't valid; every mistake is named.
    """
    values: dict[str, Any] = {}
    env: dict[str, str] = {}
    origins: dict[str, str] = {}
    mistakes: list[OffloadError] = []
    asked = [(item.key, item.value, f"line {item.line} of {script}") for item in directives]
    asked += [(key, text, COMMAND_LINE) for key, text in options]
    for key, text, origin in asked:
        try:
            value = _read(key, text)
            if key == "env":
                name, value = _variable(text, environ)
                env[name] = value
                origins[f"env.{name}"] = origin
            else:
                values[key.replace("-", "_")] = value
                origins[key] = origin
        except UsageError as error:
            mistakes.append(_at(error, key, origin))
    if mistakes:
        raise _together(mistakes)
    return Settings(**values, env=env, origins=origins)


def _read(key: str, text: str) -> Any:
    if key not in KEYS:
        what = f"{key!r} can't be asked for" if key else f"{text!r} is not of the form key=value"
        raise UsageError(f"{what}.", next_step=f"A directive can set: {', '.join(KEYS)}.")
    return KEYS[key].read(text)


def _variable(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not _VARIABLE.fullmatch(name) or "\0" in value:
        raise UsageError(f"{name!r} is not the name of a variable.", next_step="Write it like NAME=VALUE.")
    if name.startswith("OFFLOAD_"):
        raise UsageError(f"{name} is set by Offload itself.", next_step="Choose another name.")
    if not equals and name not in environ:
        raise UsageError(f"{name} is not set here.", next_step=f"Set it, or give its value: {name}=VALUE.")
    return name, value if equals else environ[name]


def _at(error: UsageError, key: str, origin: str) -> UsageError:
    where = f"--{key}" if origin == COMMAND_LINE else origin[0].upper() + origin[1:]
    return UsageError(f"{where}: {error.sentence}", next_step=error.next_step)


def _together(mistakes: Sequence[OffloadError]) -> UsageError:
    steps = dict.fromkeys(error.next_step for error in mistakes if error.next_step)
    return UsageError("\n".join(error.sentence for error in mistakes), next_step="\n".join(steps))
