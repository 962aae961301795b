"""A pool of the local cluster as it is now: its wish, its runners, and what follows from both."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from offload.backends.local.admission import Request
from offload.backends.local.state import Admitted, Over, PoolFiles, Wish
from offload.model.ids import PoolId, RunnerId, runner_id
from offload.model.observation import Observation, Phase

_LONGEST_PAUSE: Final = 60.0
"""Seconds between starts of a pool whose runners die without a word, at most."""
_SHORT: Final = 1.0
"""Seconds of a life in which a runner can hardly start; many in a row would be a busy loop."""


@dataclass(slots=True)
class LocalRunner:
    """A runner of this machine.

    Attributes:
        number: counts the runners of its pool.
        admitted: its share of the machine.
        pidfd: of its process while it lives.
        over: how it ended; no process of it is left.
        done: set once it is over.
    """

    number: int
    admitted: Admitted
    pidfd: int | None = None
    over: Over | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class LocalPool:
    """What is known of one pool.

    Attributes:
        files: where it is remembered.
        wish: what is wanted.
        runners: all it ever had, by number.
        notice: what was last told of the pool as a whole.
    """

    files: PoolFiles
    wish: Wish
    runners: dict[int, LocalRunner] = field(default_factory=dict)
    notice: Observation | None = None

    @property
    def id(self) -> PoolId:
        """Its id."""
        return PoolId(self.wish.pool)

    def runner_id(self, runner: LocalRunner) -> RunnerId:
        """The id of one of its runners."""
        return runner_id(self.id, runner.number)

    def alive(self) -> list[LocalRunner]:
        """Runners that aren't over; they hold their share of the machine."""
        return [one for one in self.runners.values() if one.over is None]

    def next_number(self) -> int:
        """The number of the runner after all there ever were."""
        return max(self.runners, default=-1) + 1

    def not_before(self) -> float:
        """When the next runner may start: the more in a row were of no use, the later."""
        useless: list[Over] = []
        for _, one in sorted(self.runners.items(), reverse=True):
            if one.over is None or not _useless(one.admitted, one.over):
                break
            useless.append(one.over)
        if not useless:
            return 0.0
        return max(over.at for over in useless) + min(2.0 ** (len(useless) - 1), _LONGEST_PAUSE)

    def request(self, now: float) -> Request | None:
        """What it asks of the machine; None when it has all it wants, or must pause."""
        missing = self.wish.wanted - len(self.alive())
        if missing <= 0 or self.not_before() > now:
            return None
        last = max((one.admitted.at for one in self.runners.values()), default=0.0)
        return Request(
            pool=self.id,
            resources=self.wish.resources,
            missing=missing,
            live=len(self.alive()),
            since=min(max(self.wish.submitted, last), now),
            submitted=self.wish.submitted,
        )

    def seen(self, runner: LocalRunner) -> Observation:
        """A runner as it is now."""
        over = runner.over
        return Observation(
            pool=self.id,
            runner=self.runner_id(runner),
            phase=Phase.RUNNING if over is None else over.phase,
            reason=None if over is None else over.reason,
        )


def _useless(admitted: Admitted, over: Over) -> bool:
    """Whether a runner went without a word, or ended before it could have done anything."""
    return over.phase is Phase.GONE or over.at - admitted.at < _SHORT


def restore(files: PoolFiles) -> LocalPool | None:
    """The pool as it was left; None when there is no wish, so nothing was started for it, or nothing is left.

    A launcher that died just before its first wish, or just after the last file of a removal, leaves a
    directory that speaks of nothing.
    """
    wish = files.wish()
    if wish is None:
        if not files.numbers():
            files.remove()
        return None
    pool = LocalPool(files, wish)
    for number in files.numbers():
        admitted = files.admitted(number) or Admitted(at=time.time())
        pool.runners[number] = LocalRunner(number, admitted, over=files.over(number))
    return pool
