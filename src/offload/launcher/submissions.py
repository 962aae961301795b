"""What is checked before a job is accepted, so that a mistake is told at once and not after an hour in a
queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from offload.errors import BlobMissingError, ResultsGoneError, UsageError
from offload.launcher.clock import Clock
from offload.launcher.clusters import Clusters
from offload.launcher.content import Content
from offload.launcher.hub import Hub
from offload.model.apart import mixing_mistakes
from offload.model.array import MAX_TASKS, Array, parse_array
from offload.model.manifest import is_digest
from offload.model.parameters import Parameters, is_sound, name_mistakes
from offload.model.placement import pattern_mistakes
from offload.model.resources import MAX_CPUS, MAX_SECONDS, format_duration
from offload.model.spec import LEAST_GROWTH, MOST_GROWTH, MOST_RUNNING, Spec
from offload.store import jobs
from offload.store.engine import Store
from offload.wire.api import JobView, Rerun, Submission
from offload.wire.codec import encode, to_builtins

MAX_RETRIES: Final = 100
MAX_GRACE: Final = 3600.0
"""Seconds; a grace period is for saving what one has, not for going on."""
MAX_KEY: Final = 200
_MAX_INDEX: Final = (1 << 31) - 1
_MAX_MEMORY: Final = 1 << 50
_MAX_GPUS: Final = 1000
_MAX_SPEC: Final = 1 << 20
"""Bytes of a spec with its arguments and variables, as JSON."""


class Submissions:
    """Accepts jobs."""

    def __init__(self, store: Store, hub: Hub, clusters: Clusters, content: Content, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._clusters = clusters
        self._content = content
        self._clock = clock

    async def submit(self, submission: Submission, user: str) -> tuple[JobView, bool]:
        """Accept a job; the flag tells whether it is new, or the one that the same key made before.

        Raises:
            UsageError: what is asked isn't valid, can't be had on the cluster, or names no cluster.
            BlobMissingError: the snapshot or the standard input isn't with the launcher.
        """
        await asyncio.to_thread(check, submission)
        if known := await self._store.run(jobs.submitted_before, submission.key):
            return known, False
        spec = await self._clusters.admit(submission.spec, user)
        async with self._content.lock:
            if spec.stdin and (missing := await self._content.missing([spec.stdin])):
                raise BlobMissingError(
                    "The job's standard input isn't with the launcher.", details={"digests": missing}
                )
            accepted = Submission(spec=spec, key=submission.key)
            view, new = await self._store.run(jobs.submit, accepted, user, self._clock.now())
        if new:
            self._hub.job_changed(view.id)
        return view, new

    async def admit(self, submission: Submission, user: str) -> Spec:
        """What a submission would become.

        Raises:
            UsageError: it would be refused.
        """
        await asyncio.to_thread(check, submission)
        return await self._clusters.admit(submission.spec, user)

    async def rerun(self, job: str, again: Rerun, key: str, user: str) -> tuple[JobView, bool]:
        """Accept the same spec as a new job, but for what shall be different.

        Raises:
            JobNotFoundError: there is no such job.
            UsageError: it has no such tasks, or can't have so much memory.
            ResultsGoneError: its files are past their retention and were removed.
        """
        spec = _changed((await self._store.run(jobs.get, job)).spec, again)
        gone = ResultsGoneError(
            f"The files that job {job} was sent with aren't with the launcher any more.",
            next_step="Submit the script again from its directory.",
        )
        for digest in jobs.manifests_of(spec):
            if not await self._content.has_manifest(digest):
                raise gone
        try:
            return await self.submit(Submission(spec=spec, key=key), user)
        except BlobMissingError as error:
            raise gone from error


def _changed(spec: Spec, again: Rerun) -> Spec:
    if again.memory is not None:
        spec = replace(spec, resources=replace(spec.resources, memory=again.memory))
    if again.tasks is None:
        return spec
    _check_array(again.tasks)
    # Asking the array about each would take as many steps as there are pairs of ranges.
    if strange := set(again.tasks).difference(spec.array):
        raise UsageError(f"The job has no task {min(strange)}.", next_step=f"Its tasks are {spec.array}.")
    return replace(spec, array=again.tasks, out_of=spec.task_count)


def check(submission: Submission) -> None:
    """Raise a ``UsageError`` that names all that isn't valid."""
    _check_array(submission.spec.array)
    if wrong := [*_about_text(submission), *_about_spec(submission.spec), *_about_limits(submission.spec)]:
        raise UsageError(" ".join(wrong), next_step="Correct the submission and send it again.")


def _check_array(array: Array) -> None:
    parse_array(_array_text(array))


def _array_text(array: Array) -> str:
    numbers = [number for part in array.ranges for number in part]
    if not numbers or min(numbers) < 0 or max(numbers) > _MAX_INDEX:
        raise UsageError(f"The indices of an array are from 0 to {_MAX_INDEX}, and there is at least one.")
    # Each range is written out in full: the short form hides a step that isn't valid.
    return ",".join(f"{first}-{last}:{step}" for first, last, step in array.ranges)


def _about_text(submission: Submission) -> Iterator[str]:
    if not 0 < len(submission.key) <= MAX_KEY:
        yield f"The key has 1 to {MAX_KEY} characters."
    try:
        text = encode(submission)
    except UnicodeEncodeError:
        yield "A text isn't valid Unicode."
        return
    if _holds_nul(to_builtins(submission)):
        yield "A text contains a NUL character."
    if len(text) > _MAX_SPEC:
        yield f"Arguments and variables are {len(text)} bytes; at most {_MAX_SPEC} can be. Use a file."


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nul, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _about_spec(spec: Spec) -> Iterator[str]:
    if not spec.command or not spec.command[0]:
        yield "The command is empty."
    if not spec.name.strip():
        yield "The name is empty."
    directory = PurePosixPath(spec.directory)
    if directory.is_absolute() or ".." in directory.parts:
        yield f"The directory {spec.directory!r} isn't below the snapshot's root."
    if not is_digest(spec.snapshot):
        yield f"The snapshot {spec.snapshot!r} isn't a digest."
    if spec.stdin is not None and not is_digest(spec.stdin):
        yield f"The standard input {spec.stdin!r} isn't a digest."
    if not spec.home.startswith("file://"):
        yield f"The home {spec.home!r} isn't a file:// address."
    yield from _about_parameters(spec)
    if wrong := sorted(name for name in spec.env if not name or "=" in name):
        yield f"These aren't names of variables: {', '.join(map(repr, wrong))}."


def _about_parameters(spec: Spec) -> Iterator[str]:
    parameters = spec.parameters
    mistakes = list(_about_tasks(spec, parameters)) if parameters else []
    yield from mistakes
    if spec.results is not None:
        names = parameters.names if parameters else ()
        unique = parameters is not None and parameters.table is None
        wrong = pattern_mistakes(spec.results, names, is_array=spec.is_array, unique=unique)
        if parameters and not wrong and not mistakes:
            wrong = mixing_mistakes(spec.results, parameters, spec.array)
        yield from (f"The place of results isn't valid: {sentence}" for sentence in wrong)


def _about_tasks(spec: Spec, parameters: Parameters) -> Iterator[str]:
    table = parameters.table
    if bool(parameters.grid) == (table is not None):
        yield "Parameters are either a grid or a table."
        return
    yield from name_mistakes(parameters.names)
    wrong = [axis.name for axis in parameters.grid if not is_sound(axis)]
    if wrong:
        yield f"These parameters have no values, or a step of 0: {', '.join(wrong)}."
        return
    if table and not all(map(is_digest, filter(None, (table.digest, table.files or table.digest)))):
        yield "The table of parameters isn't named by a digest."
    indices = [range(first, last + 1, step) for first, last, step in spec.array.ranges]
    first, last = min(part[0] for part in indices), max(part[-1] for part in indices)
    if not spec.is_array or first < 1 or last > parameters.count:
        yield f"The indices of the tasks are from 1 to {parameters.count}, the number of their parameters."


def _about_limits(spec: Spec) -> Iterator[str]:
    resources = spec.resources
    if not 0 < resources.cpus <= MAX_CPUS:
        yield f"CPUs are more than 0 and at most {MAX_CPUS}, not {resources.cpus}."
    if resources.memory is not None and not 0 < resources.memory <= _MAX_MEMORY:
        yield f"Memory is from 1 to {_MAX_MEMORY} bytes, not {resources.memory}."
    if spec.memory_growth != 1 and not LEAST_GROWTH <= spec.memory_growth <= MOST_GROWTH:
        yield f"Memory grows {LEAST_GROWTH:g} to {MOST_GROWTH:g} times, or 1; not {spec.memory_growth}."
    if not 0 <= resources.gpus <= _MAX_GPUS:
        yield f"GPUs are from 0 to {_MAX_GPUS}, not {resources.gpus}."
    if spec.time_limit is not None and not 0 < spec.time_limit <= MAX_SECONDS:
        yield f"The time limit is more than 0 and at most {MAX_SECONDS} s, not {spec.time_limit}."
    if not 0 <= spec.grace <= MAX_GRACE:
        yield f"The grace period is from 0 to {MAX_GRACE:g} s, not {spec.grace}."
    yield from _about_warning(spec)
    yield from _about_many(spec)


def _about_many(spec: Spec) -> Iterator[str]:
    if not 0 <= spec.retries <= MAX_RETRIES:
        yield f"Retries are from 0 to {MAX_RETRIES}, not {spec.retries}."
    if spec.out_of is not None and not len(spec.array) <= spec.out_of <= MAX_TASKS:
        yield f"A job of {len(spec.array)} tasks can't be some of {spec.out_of}."
    if spec.fail_fast is not None and not 1 <= spec.fail_fast <= MAX_TASKS:
        yield f"From 1 to {MAX_TASKS} failures may end a job, not {spec.fail_fast}."
    if spec.fail_fast is not None and spec.keep_going:
        yield "A job can't both end once some tasks have failed and keep going whatever fails."
    if spec.max_running is not None and not 1 <= spec.max_running <= MOST_RUNNING:
        yield f"From 1 to {MOST_RUNNING} tasks may run at a time, not {spec.max_running}."


def _about_warning(spec: Spec) -> Iterator[str]:
    if spec.warn is None:
        return
    before, limit = spec.warn.before, spec.time_limit
    if before <= 0:
        yield f"A warning is more than 0 s before the time limit, not {before}."
    elif limit is None:
        yield "There is no time limit to warn of; a warning (--warn) needs one (--time)."
    elif before >= limit:
        lead, whole = format_duration(before), format_duration(limit)
        yield f"A warning {lead} before a time limit of {whole} would come before the script begins."
