"""Offload from Python: the same job as on the command line, as an object.

>>> job = offload.run("fit.R", "--rounds", "500", cpus=2, memory="4Gi")
>>> job.wait()
>>> job.collect()
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from offload.client.api import Api
from offload.client.collect import Collected, collect
from offload.client.keys import KEYS, REPEATED
from offload.client.mistakes import noted, together
from offload.client.plan import Plan, make_plan
from offload.client.streams import follow_logs, wait_for_end
from offload.client.submit import prepare, submit
from offload.errors import JobPausedError, UsageError
from offload.wire.api import JobView
from offload.wire.frames import Frame


class Job:
    """A job, wherever it was submitted.

    Attributes:
        id: its id.
    """

    def __init__(self, id: str) -> None:  # noqa: A002  what people call it
        self.id = id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self) -> JobView:
        """How it stands now."""
        with Api() as api:
            return api.job(self.id)

    def logs(self, *, task: int | None = None, follow: bool = False) -> Iterator[Frame]:
        """What it printed; with ``follow`` as it is printed, until it has ended.

        Raises:
            JobPausedError: it is followed, and it is paused and nothing of it runs.
        """
        with Api() as api:
            if task is not None:
                api.task(self.id, task)
            yield from follow_logs(api, self.id, task=task, follow=follow, at_rest=_refuse_to_wait)

    def wait(self) -> JobView:
        """Wait until it has ended.

        Raises:
            JobPausedError: it is paused and nothing of it runs.
        """
        with Api() as api:
            wait_for_end(api, self.id, at_rest=_refuse_to_wait)
            return api.job(self.id)

    def collect(self, to: Path | str | None = None) -> list[Collected]:
        """Bring its results home, or into the directory ``to``."""
        with Api() as api:
            return collect(api, api.job(self.id), to=None if to is None else Path(to))

    def cancel(self) -> JobView:
        """End it; what it made until then is kept."""
        with Api() as api:
            return api.cancel(self.id)

    def pause(self) -> JobView:
        """Let nothing new of it begin; what runs goes on to its end."""
        with Api() as api:
            return api.pause(self.id)

    def resume(self) -> JobView:
        """Let it go on after it was paused."""
        with Api() as api:
            return api.resume(self.id)


def _refuse_to_wait(job: JobView) -> bool:
    why = job.reason.sentence if job.reason else ""
    raise JobPausedError(
        f"{job.id} is paused. {why}",
        next_step=f"See offload failures {job.id}; then resume() or cancel() it.",
    )


def run(
    script: str | Path,
    *arguments: object,
    root: Path | str | None = None,
    env: Mapping[str, object] | Sequence[str] | None = None,
    **settings: object,
) -> Job:
    """Send a script of the working directory, with the directory, and return its job.

    Args:
        script: path of the script; ``--`` runs the command that ``arguments`` are.
        arguments: what the script gets, as texts.
        root: the directory to send; the working directory by default.
        env: variables that the script sees: their values by name, or ``NAME=VALUE`` and ``NAME`` as on the
            command line.
        settings: what else ``offload run`` takes, by the names of its options: ``cpus=2``, ``memory="4Gi"``,
            ``time="2h"``, ``array="1-20"``, ``retries=1``, ``name="nightly"``, ``on="local"``,
            ``mount=["data", "models:/models"]`` … None is as if it weren't given.

    Raises:
        UsageError: a setting isn't valid; every mistake is named.
        OffloadError: the directory can't be sent (too large, unreadable, changing, a link that leads out).
    """
    is_command = script == "--"
    words = [str(word) for word in (arguments if is_command else (script, *arguments))]
    if not words:
        raise UsageError("There is no command to run.", next_step='offload.run("--", "make", "-j4")')
    asked = {name.replace("_", "-"): _texts(value) for name, value in settings.items() if value is not None}
    asked["env"] = _texts([f"{name}={env[name]}" for name in env] if isinstance(env, Mapping) else env)
    if asked.get("over") == []:
        asked["over"] = [""]  # an empty list of files is a mistake, as it is on the command line
    plan = _plan(words, asked, is_command=is_command, root=Path(root) if root else None)
    with Api() as api:
        return Job(submit(api, plan, prepare(api, plan)).id)


def _plan(
    words: Sequence[str], asked: Mapping[str, Sequence[str]], *, is_command: bool, root: Path | None
) -> Plan:
    mistakes = [*_mistakes(asked)]
    options = [(key, text) for key, texts in asked.items() if key in KEYS for text in texts]
    with noted(mistakes):
        plan = make_plan(words, is_command=is_command, options=options, root=root)
    if mistakes:
        raise together(mistakes)
    return plan


def _texts(value: object) -> list[str]:
    several = value if isinstance(value, list | tuple) else () if value is None else (value,)
    return [str(one) for one in several]


def _mistakes(asked: Mapping[str, Sequence[str]]) -> Iterator[UsageError]:
    """What can't be asked for, and what was asked for several times though it has one value."""
    names = [name.replace("-", "_") for name in KEYS]
    for key, texts in asked.items():
        name = key.replace("-", "_")
        if key not in KEYS:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            yield UsageError(
                f"run() has no option {name!r}.", next_step=f"{meant}It takes: {', '.join(names)}."
            )
        elif len(texts) != 1 and key not in REPEATED:
            yield UsageError(f"{name} is one value, and not a list.", next_step=f"Write it like {name}=…")
