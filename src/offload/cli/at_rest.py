"""What a command does that follows a job which is paused, once nothing of it runs any more.

On a terminal it asks. Elsewhere nobody may be there to answer: it says so, and leaves the job paused.
"""

from __future__ import annotations

from typing import Final

from offload.cli.terminal import Terminal
from offload.client.api import Api
from offload.wire.api import JobView

_QUESTION: Final = "Go on? [y: yes, c: cancel the job, Enter: leave it paused] "
_LEAVE: Final = ("", "n", "no")
"""What loses nothing is the answer of those who give none."""


class AtRest:
    """Decides whether to follow a job further; to be called with it as it stands.

    Attributes:
        left: whether it was left paused.
    """

    def __init__(self, api: Api, terminal: Terminal, *, quiet: bool = False) -> None:
        self.left = False
        self._api = api
        self._terminal = terminal
        self._quiet = quiet

    def __call__(self, job: JobView) -> bool:
        """Say why it is paused, and ask; whether to follow it further."""
        if not self._quiet:
            say_paused(job, self._terminal)
        self.left = self._quiet or not self._terminal.can_ask or not self._goes_on(job)
        return not self.left

    def _goes_on(self, job: JobView) -> bool:
        while (answer := self._terminal.ask(_QUESTION, lambda: self._is_at_rest(job))) is not None:
            if answer in ("y", "yes"):
                self._api.resume(job.id)
                return True
            if answer in ("c", "cancel"):
                self._api.cancel(job.id)
                return True
            if answer in _LEAVE:
                return False
        return True  # somebody else decided, or this person by Ctrl-C

    def _is_at_rest(self, job: JobView) -> bool:
        return self._api.job(job.id).is_at_rest


def say_paused(job: JobView, terminal: Terminal) -> None:
    """Why it is paused, and what can be done."""
    terminal.say(f"offload: {job.id} is paused: {job.reason.sentence if job.reason else ''}", style="yellow")
    if job.reason and job.reason.words:
        terminal.say(f"  {job.reason.words}")
    terminal.say(f"  {next_steps(job)}")


def next_steps(job: JobView) -> str:
    """What a paused job waits for, after what helps to choose."""
    made = f"What it made: offload collect {job.id}   " if job.counts.succeeded and job.spec.is_array else ""
    causes = f"By cause: offload failures {job.id}   " if job.counts.failed else ""
    return f"{causes}{made}{ways_on(job)}"


def ways_on(job: JobView) -> str:
    """The two commands that a paused job waits for."""
    return f"Go on: offload resume {job.id}   End it: offload cancel {job.id}"
