"""How long the latest attempts of each job took, to size what a runner is given at once.

It is measured, not promised: a launcher that was restarted knows nothing and soon knows it again.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from offload.lifecycle.batch import Pace
from offload.wire.runner_protocol import Completion

_LATEST: Final = 64
_ENOUGH: Final = 4
_JOBS: Final = 1000


class Paces:
    """Seconds of the latest successes of the jobs that are worked on."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, job: str, completions: Iterable[Completion]) -> None:
        """Learn from attempts that succeeded; how fast a job fails says nothing."""
        for completion in completions:
            if completion.took is not None and completion.outcome.exit_status == 0:
                self._latest.setdefault(job, deque(maxlen=_LATEST)).append(completion.took)
                self._latest.move_to_end(job)
        if len(self._latest) > _JOBS:
            self._latest.popitem(last=False)

    def of(self, job: str) -> Pace | None:
        """How long they took; None when there are too few to tell."""
        latest = self._latest.get(job, ())
        if len(latest) < _ENOUGH:
            return None
        return Pace(typical=statistics.median_high(latest), mean=statistics.fmean(latest))
