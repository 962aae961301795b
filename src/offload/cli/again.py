"""Says why a task's output begins anew: an attempt failed or was lost, and the task is tried again."""

from __future__ import annotations

from contextlib import suppress

from offload.cli.terminal import Terminal
from offload.cli.text import whose
from offload.client.api import Api
from offload.errors import OffloadError
from offload.model.reasons import Reason, ReasonCode
from offload.wire.api import JobView
from offload.wire.frames import Frame


class Again:
    """Notices the first frame of each further attempt."""

    def __init__(self, api: Api, job: JobView, terminal: Terminal) -> None:
        self._api = api
        self._job = job
        self._terminal = terminal
        self._latest: dict[int, int] = {}
        self._told: set[str] = set()

    def note(self, frame: Frame) -> None:
        """Tell it if this frame is the first of a further attempt, and the reason is news."""
        if frame.attempt <= self._latest.get(frame.task, 1):
            return
        self._latest[frame.task] = frame.attempt
        reason = self._why(frame)
        # That one ran out of memory is told as soon as it happens: the next attempt may have to wait.
        if reason is None or reason.code is ReasonCode.OUT_OF_MEMORY or reason.sentence in self._told:
            return
        self._told.add(reason.sentence)  # the hundredth task of an array is no news
        who = whose(self._job, frame.task)
        self._terminal.say(f"offload: {who}: {reason.sentence} It is tried again.", style="yellow")

    def _why(self, frame: Frame) -> Reason | None:
        """What ended the attempt before; None when nobody can say now."""
        with suppress(OffloadError):
            attempts = self._api.task(self._job.id, frame.task).attempts
            return next((one.reason for one in attempts if one.number == frame.attempt - 1), None)
        return None
