"""When a running script is asked to end and when it is made to: pure, time comes in as a number.

A time limit, a cancellation and an eviction ask with SIGTERM and insist with SIGKILL once the grace period is
over. Too much memory and a dropped lease insist at once. The first cause is the one that is told, except
that a dropped lease silences all others. A warning before the time limit is no cause: the script goes on.
"""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from typing import Final

from offload.model.warning import EarlyWarning
from offload.runner.verdict import Cause

_AT_ONCE: Final = (Cause.MEMORY, Cause.DROP)


@dataclass(slots=True, kw_only=True)
class Discipline:
    """Limits of one running script and what was done about them so far.

    Attributes:
        started: monotonic seconds.
        time_limit: seconds, or None.
        grace: seconds between SIGTERM and SIGKILL.
        warn: the signal that comes before the time limit, or None.
        cause: why the script is being ended.
        asked: when SIGTERM was sent.
        killed: whether SIGKILL was sent.
        warned: whether the warning was sent.
    """

    started: float
    time_limit: float | None
    grace: float
    warn: EarlyWarning | None = None
    cause: Cause = Cause.NOTHING
    asked: float | None = None
    killed: bool = False
    warned: bool = False

    def decide(self, now: float, *, will: Cause, over_memory: bool) -> signal.Signals | None:
        """The signal to send now, if any.

        ``will`` is what the launcher or the cluster wants: nothing, cancel, evict or drop.
        """
        cause = self._cause(now, will, over_memory=over_memory)
        if self.cause is Cause.NOTHING or cause is Cause.DROP:
            self.cause = cause
        if cause is Cause.NOTHING:
            return self._warning(now)
        if self.killed:
            return None
        if cause in _AT_ONCE or (self.asked is not None and now >= self.asked + self.grace):
            self.killed = True
            return signal.SIGKILL
        if self.asked is None:
            self.asked = now
            return signal.SIGTERM
        return None

    def _warning(self, now: float) -> signal.Signals | None:
        if self.warn is None or self.warned or self._until_warning(now) > 0:
            return None
        self.warned = True
        return signal.Signals[f"SIG{self.warn.signal}"]

    def _until_warning(self, now: float) -> float:
        return self._until_limit(now) - (self.warn.before if self.warn else 0.0)

    def _until_limit(self, now: float) -> float:
        return self.started + self.time_limit - now if self.time_limit else math.inf

    def _cause(self, now: float, will: Cause, *, over_memory: bool) -> Cause:
        if will is Cause.DROP:
            return will
        if over_memory:
            return Cause.MEMORY
        if self.cause is not Cause.NOTHING:
            return self.cause
        if will is not Cause.NOTHING:
            return will
        return Cause.TIMEOUT if self._until_limit(now) <= 0 else Cause.NOTHING

    def due(self, now: float) -> float | None:
        """Seconds until time alone changes the decision; None when it can't."""
        if self.killed:
            return None
        if self.asked is not None:
            return max(0.0, self.asked + self.grace - now)
        if self.time_limit is None:
            return None
        return max(0.0, self._until_limit(now) if self.warned else self._until_warning(now))
