"""When a job that is followed without a terminal is worth a line on stderr: pure, time comes in as a number.

A log that is read tomorrow wants few lines: why a job waits, once for each reason; how far an array is, at
each tenth of it and at most once a minute, and after a silence as long as all the time before it.
"""

from __future__ import annotations

from typing import Final

from offload.model.reasons import ReasonCode
from offload.model.states import State
from offload.wire.api import JobView

OFTEN: Final = 60.0
"""Seconds that pass between two lines on how far an array is, at least."""
SELDOM: Final = 3600.0
"""Seconds of silence after which there is such a line in any case."""
_TENTHS: Final = 10


class News:
    """Remembers what was said about one job; ``begun`` is when following it began, in seconds."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self._said: float | None = None
        self._tenths = 0
        self._reasons: set[ReasonCode] = set()
        self._away = False

    def due(self, job: JobView | None, now: float) -> bool:
        """Whether to say now how the job stands, as it will then be; None stands for no answer."""
        was_away, self._away = self._away, job is None
        if job is None:
            return not was_away
        if job.state.is_terminal:
            return False
        if not (job.is_paused and job.state is State.RUNNING) and self._is_new_reason(job):
            return True
        return job.spec.is_array and job.state is State.RUNNING and self._is_far_enough(job, now)

    def _is_new_reason(self, job: JobView) -> bool:
        if job.reason is None or job.reason.code in self._reasons:
            return False
        self._reasons.add(job.reason.code)
        return True

    def _is_far_enough(self, job: JobView, now: float) -> bool:
        counts = job.counts
        tenths = _TENTHS * (counts.total - counts.pending - counts.running) // counts.total
        if self._said is not None:
            silence = now - self._said
            enough = min(SELDOM, self._said - self._begun)
            if silence < OFTEN or (tenths == self._tenths and silence < enough):
                return False
        self._said, self._tenths = now, tenths
        return True
