"""From the words that a person typed to what will be run: nothing is sent here.

The working directory, or ``--root``, is what travels. The command starts in the same place below it as the
person stands in at home, so a relative path means the same here and there.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

from offload.client.directives import Directive, read_directives, said_twice
from offload.client.keys import KEYS
from offload.client.languages import command_for
from offload.client.mistakes import noted, together
from offload.client.parameters import Variation, vary
from offload.client.settings import Settings, merge
from offload.client.words import check_text, is_text
from offload.errors import ScriptNotFoundError, UnknownClusterError, UsageError
from offload.model.array import Array
from offload.model.parameters import Parameters
from offload.model.resources import Resources
from offload.model.spec import Spec
from offload.wire.api import ClusterView
from offload.wire.places import current_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run.

    Attributes:
        root: the directory that travels; absolute.
        directory: where below the root the command starts; ``.`` is the root.
        command: the argv.
        name: what the job is called.
        settings: what was asked for it, and where each value came from.
        script: the script's path below the root; None for a command.
        variation: what makes the tasks differ; None when only their indices do.
    """

    root: Path
    directory: str
    command: tuple[str, ...]
    name: str
    settings: Settings
    script: str | None = None
    variation: Variation | None = None


def make_plan(
    words: Sequence[str],
    *,
    is_command: bool = False,
    options: Iterable[tuple[str, str]] = (),
    root: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Plan:
    """The plan for a script and its arguments, or for a command (``is_command``).

    Every mistake is told; one that is alone has its own class.

    Raises:
        ScriptNotFoundError: the script isn't there, can't be read, or lies outside the root.
        UnknownLanguageError: nothing is known to execute it.
        UsageError: options or directives aren't valid, or this directory lies outside the root, or was
            removed.
    """
    environ = os.environ if environ is None else environ
    here = current_directory()
    root = (root or here).resolve()
    mistakes: list[UsageError] = []
    directory, found = "", _Found(None, tuple(words), words[0])
    settings, variation = Settings(), None
    with noted(mistakes):
        _check_text(words)
    with noted(mistakes):
        directory = _below(root, here)
        if not is_command:
            found = _find(words, root, here)
    mistakes += _repeated(found)
    with noted(mistakes):
        settings = merge(found.directives, options, environ, found.called)
        if directory:  # else every file would seem to lie outside
            variation = vary(settings, found.command, root=root, here=here, script=found.script)
    if mistakes:
        raise together(mistakes)
    return Plan(
        root=root,
        directory=directory,
        command=found.command,
        name=settings.name or Path(found.called).name,
        settings=settings,
        script=found.script,
        variation=variation,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the words name: a script with its path below the root, or a command."""

    script: str | None
    command: tuple[str, ...]
    called: str
    directives: Sequence[Directive] = ()


def _repeated(found: _Found) -> Iterator[UsageError]:
    """What the script's directives say twice."""
    for key, before, line in said_twice(found.directives, KEYS):
        sentence = f"Line {line} of {found.called}: {key} is given in line {before} already."
        yield UsageError(sentence, next_step="Keep one.")


def _check_text(words: Sequence[str]) -> None:
    bad = [word for word in words if not is_text(word)]
    if bad:
        raise UsageError(
            f"Arguments must be UTF-8 text: {', '.join(map(ascii, bad))}.",
            next_step="Rename the file, or let a script make such a text.",
        )


def _below(root: Path, here: Path) -> str:
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory.", next_step="Give --root a directory.")
    if not here.is_relative_to(root):
        raise UsageError(
            f"You are in {here}, which is not below the root {root}.",
            next_step=f"Go there first: cd {root}",
        )
    directory = here.relative_to(root).as_posix()
    check_text(directory)
    return directory


def _find(words: Sequence[str], root: Path, here: Path) -> _Found:
    path, given = _find_script(words[0], here)
    script = _script_below(root, path, given)
    return _Found(script, (*command_for(path, given), *words[1:]), given, read_directives(path))


def _find_script(given: str, here: Path) -> tuple[Path, str]:
    path = here / given
    if path.is_file():
        try:
            path.open("rb").close()
        except OSError as error:
            raise ScriptNotFoundError(f"{given} can't be read: {error.strerror}.") from error
        return path, os.path.relpath(path, here) if Path(given).is_absolute() else given
    if path.is_dir():
        raise ScriptNotFoundError(
            f"{given} is a directory, not a script.", next_step="Name a script in it: offload run fit.R"
        )
    raise ScriptNotFoundError(f"There is no {given} here.", next_step=_instead(given, path))


def _instead(given: str, path: Path) -> str:
    there = [item.name for item in path.parent.iterdir() if item.is_file()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=3, cutoff=0.6)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}To run a command instead of a script: offload run -- {given}"


def _script_below(root: Path, path: Path, given: str) -> str:
    # Not resolved: a script may be a link inside the root.
    plain = Path(os.path.normpath(path))
    if plain.is_relative_to(root):
        return plain.relative_to(root).as_posix()
    raise ScriptNotFoundError(
        f"{given} lies outside {root}, so it would not be sent.",
        next_step="Send a directory that holds both: offload run --root DIR …",
    )


def choose_cluster(clusters: Sequence[ClusterView], wanted: str | None) -> ClusterView:
    """The cluster of this name; without a name the only one, or ``local``.

    Raises:
        UnknownClusterError: there is none of this name, or none can be preferred; lists them.
    """
    by_name = {cluster.name: cluster for cluster in clusters}
    if wanted is None:
        wanted = next(iter(by_name)) if len(by_name) == 1 else "local"
    if wanted in by_name:
        return by_name[wanted]
    raise UnknownClusterError(
        f"There is no cluster {wanted!r}.",
        next_step=f"Choose one with --on: {', '.join(sorted(by_name)) or 'none is set up'}.",
        details={"clusters": sorted(by_name)},
    )


def make_spec(
    plan: Plan,
    cluster: ClusterView,
    *,
    snapshot: str,
    stdin: str | None = None,
    parameters: Parameters | None = None,
    environ: Mapping[str, str] | None = None,
) -> Spec:
    """The spec that the launcher gets.

    Args:
        plan: what will be run.
        cluster: where; it says which variables of this session are worth sending.
        snapshot: manifest digest of the root.
        stdin: digest of the standard input's blob.
        parameters: those of the plan, once their table is sent; None takes them as they are planned.
        environ: this session's variables.
    """
    asked, varied = plan.settings, plan.variation
    array = varied.array if varied else asked.array
    return Spec(
        command=plan.command,
        name=plan.name,
        cluster=cluster.name,
        snapshot=snapshot,
        home=home_uri(plan.root),
        directory=plan.directory,
        resources=Resources(cpus=asked.cpus, memory=asked.memory, gpus=asked.gpus),
        memory_growth=asked.memory_growth,
        array=array or Array(),
        is_array=array is not None,
        parameters=parameters or (varied.parameters if varied else None),
        results=asked.results,
        time_limit=asked.time,
        grace=asked.grace,
        warn=asked.warn,
        max_running=asked.max_running,
        fail_fast=asked.fail_fast,
        keep_going=asked.keep_going,
        retries=asked.retries,
        env={**session_env(cluster, os.environ if environ is None else environ), **asked.env},
        stdin=stdin,
        image=asked.image,
        profile=asked.profile,
        mounts=asked.mounts,
        queue=asked.queue,
        test_preemption=asked.test_preemption,
        left_open=_left_open(asked),
    )


def _left_open(asked: Settings) -> tuple[str, ...]:
    """What the cluster decides; ``--memory auto`` leaves it to the cluster where nothing is known."""
    is_open = {
        "cpus": "cpus" not in asked.origins,
        "memory": asked.memory is None,
        "gpus": "gpus" not in asked.origins,
    }
    return tuple(key for key, is_left in is_open.items() if is_left)


def session_env(cluster: ClusterView, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of this session that make sense on the cluster."""
    return {name: environ[name] for name in cluster.session_env if is_text(environ.get(name, "\ud800"))}


def home_uri(root: Path) -> str:
    """Where results belong: ``file://HOST/absolute/path``."""
    return f"file://{socket.gethostname()}{quote_from_bytes(os.fsencode(root))}"
