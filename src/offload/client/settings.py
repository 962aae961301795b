"""What a job was asked for, and who asked: the default, a directive of the script, or the command line.

Merging is pure; it reports every mistake at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from offload.client.directives import Directive
from offload.client.keys import AUTO, KEYS, VARYING, YES
from offload.client.mistakes import noted, together
from offload.client.words import check_text
from offload.errors import UsageError
from offload.model.array import Array
from offload.model.parameters import Axis
from offload.model.spec import DEFAULT_GRACE, MEMORY_GROWTH
from offload.model.warning import EarlyWarning
from offload.snapshot.guard import DEFAULT_LIMIT

DEFAULT: Final = "default"
COMMAND_LINE: Final = "command line"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked, with the defaults filled in.

    Attributes:
        cpus: CPUs of one task.
        memory: bytes, or None for no limit.
        memory_auto: whether earlier jobs with the same script decide about the memory.
        memory_growth: how many times as much a task gets that ran out of memory; 1 is never more.
        gpus: whole GPUs.
        time: seconds of wall time per attempt, or None.
        grace: seconds between SIGTERM and SIGKILL.
        warn: the signal that tells the script before its time limit, or None.
        array: the indices of the tasks; None is a plain job.
        grid: parameters whose combinations are the tasks.
        params: path of a table whose rows are the tasks; None without one.
        over: paths and patterns of files, each of which is a task's.
        results: where the files of a task come home; None is the usual place.
        max_running: how many tasks may run at a time, or None.
        fail_fast: how many failed tasks end the job, or None.
        keep_going: whether the job goes on even when its first tasks all fail alike.
        retries: how many failed attempts of one task are repeated.
        env: variables the command sees.
        image: container image; None is the cluster's own for the script's language.
        profile: one of the cluster's profiles.
        mounts: the cluster's mounts that the script sees, ``NAME`` or ``NAME:/path``.
        queue: the cluster's queue that the job waits in.
        name: what the job is called; None is the script's name.
        on: the cluster; None lets the launcher's only or local one be taken.
        test_preemption: seconds after which first attempts are interrupted on purpose, or None.
        stdin: path of the file that is the standard input; None is empty input.
        size_limit: bytes that the working directory may hold.
        origins: where each value that isn't a default came from, by key; ``env.NAME`` for a variable,
            ``mount.NAME`` for a mount, ``grid.NAME`` for a parameter.
    """

    cpus: float = 1.0
    memory: int | None = None
    memory_auto: bool = False
    memory_growth: float = MEMORY_GROWTH
    gpus: int = 0
    time: float | None = None
    grace: float = DEFAULT_GRACE
    warn: EarlyWarning | None = None
    array: Array | None = None
    grid: tuple[Axis, ...] = ()
    params: str | None = None
    over: tuple[str, ...] = ()
    results: str | None = None
    max_running: int | None = None
    fail_fast: int | None = None
    keep_going: bool = False
    retries: int = 0
    env: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    profile: str | None = None
    mounts: tuple[str, ...] = ()
    queue: str | None = None
    name: str | None = None
    on: str | None = None
    stdin: str | None = None
    test_preemption: float | None = None
    size_limit: int = DEFAULT_LIMIT
    origins: dict[str, str] = field(default_factory=dict)


def merge(
    directives: Sequence[Directive],
    options: Iterable[tuple[str, str]],
    environ: Mapping[str, str],
    script: str = "the script",
) -> Settings:
    """The settings that directives and options ask for together; an option wins over a directive.

    An option that says what the tasks are replaces whatever directive says it in another way.

    Args:
        directives: what the script says.
        options: key and text of each option given, repeated ones in order.
        environ: where ``--env NAME`` takes its value from.
        script: what messages call the script.

    Raises:
        UsageError: any key or value isn't valid; every mistake is named.
    """
    given = [(key, text, COMMAND_LINE) for key, text in options]
    asked = [(*_said(item), f"line {item.line} of {script}") for item in directives] + given
    mistakes: list[UsageError] = []
    taken = _Taken(frozenset(key for key, _, _ in given if key in VARYING))
    for key, text, origin in asked:
        with noted(mistakes), _placed(key, origin):
            taken.take(key, text, origin, environ)
    mistakes += _contradictions(taken)
    if mistakes:
        raise together(mistakes)
    return taken.settings()


def _said(item: Directive) -> tuple[str, str]:
    bare = not item.key and item.value in KEYS and not KEYS[item.value].metavar
    return (item.value, YES) if bare else (item.key, item.value)


@dataclass(slots=True)
class _Taken:
    """What was asked until now; of a key with names of its own the last word for each name counts.

    Attributes:
        varying: the keys with which the command line says what the tasks are.
    """

    varying: frozenset[str]
    values: dict[str, Any] = field(default_factory=dict)
    named: dict[str, dict[str, Any]] = field(default_factory=lambda: {"env": {}, "mount": {}, "grid": {}})
    over: dict[str, list[str]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def take(self, key: str, text: str, origin: str, environ: Mapping[str, str]) -> None:
        value = _read(key, text)
        if key in VARYING and self.varying and key not in self.varying:
            return
        if key == "over":
            self.over.setdefault("options" if origin == COMMAND_LINE else "script", []).append(value)
        elif key in self.named:
            name, value = _named(key, value, environ)
            if key == "grid" and self._is_said_twice(name, origin):
                raise UsageError(f"The parameter {name!r} is given more than once.")
            self.named[key][name] = value
            key = f"{key}.{name}"
        elif key == "memory":
            self.values |= {"memory": None if value == AUTO else value, "memory_auto": value == AUTO}
        else:
            self.values[key.replace("-", "_")] = value
        self.origins[key] = origin

    def _is_said_twice(self, name: str, origin: str) -> bool:
        """Whether the same side says it again; the command line may say another thing than the script."""
        before = self.origins.get(f"grid.{name}")
        return before is not None and (before == COMMAND_LINE) == (origin == COMMAND_LINE)

    def settings(self) -> Settings:
        return Settings(
            **self.values,
            env=self.named["env"],
            mounts=tuple(self.named["mount"].values()),
            grid=tuple(self.named["grid"].values()),
            over=tuple(self.over.get("options") or self.over.get("script") or ()),
            origins=self.origins,
        )


def _named(key: str, value: Any, environ: Mapping[str, str]) -> tuple[str, Any]:
    if key == "env":
        return _variable(value, environ)
    return (value.name, value) if key == "grid" else (value.partition(":")[0], value)


def _contradictions(taken: _Taken) -> Iterator[UsageError]:
    said = {key.partition(".")[0]: origin for key, origin in taken.origins.items()}
    varying = [key for key in VARYING if key in said]
    if len(varying) > 1:
        yield UsageError(
            f"{_places(varying, said)} can't go together: each of them says what the tasks are.",
            next_step="Keep one. A table for --params can have any combination of values, one a row.",
        )
    if "fail_fast" in taken.values and taken.values.get("keep_going"):
        yield UsageError(
            f"{_places(('fail-fast', 'keep-going'), said)} can't go together: one ends the job once some "
            "tasks have failed, the other goes on however many fail.",
            next_step="Keep one.",
        )


def _places(keys: Iterable[str], said: Mapping[str, str]) -> str:
    """Where each of these was said."""
    return " and ".join(f"--{key}" if said[key] == COMMAND_LINE else f"{key} in {said[key]}" for key in keys)


def _read(key: str, text: str) -> Any:
    if key not in KEYS:
        what = f"{key!r} can't be asked for" if key else f"{text!r} is not of the form key=value"
        raise UsageError(f"{what}.", next_step=f"A directive can set: {', '.join(KEYS)}.")
    check_text(text)
    return KEYS[key].read(text)


def _variable(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not _VARIABLE.fullmatch(name) or "\0" in value:
        raise UsageError(f"{name!r} is not the name of a variable.", next_step="Write it like NAME=VALUE.")
    if name.startswith("OFFLOAD_"):
        raise UsageError(f"{name} is set by Offload itself.", next_step="Choose another name.")
    if not equals and name not in environ:
        raise UsageError(f"{name} is not set here.", next_step=f"Set it, or give its value: {name}=VALUE.")
    if not equals:
        check_text(environ[name])
    return name, value if equals else environ[name]


@contextmanager
def _placed(key: str, origin: str) -> Iterator[None]:
    """Let a mistake in the body tell where it stands."""
    try:
        yield
    except UsageError as error:
        where = f"--{key}" if origin == COMMAND_LINE else origin[0].upper() + origin[1:]
        raise UsageError(f"{where}: {error.sentence}", next_step=error.next_step) from error
