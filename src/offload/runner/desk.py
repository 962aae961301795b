"""The runner's side of the launcher's lease desk: one thread that makes every lease call.

It brings leases and orders, renews what is held, and repeats completions until they are settled. Whenever
there is something new to say, the long poll under way is given up and a fresh one says it. The main thread
waits for news on a file descriptor, so that a signal can't be missed.

Short tasks are leased many at a time. As long as leases wait in the queue there is no long poll: what has
ended is gathered for a moment and told in one call, which brings more before the queue is empty. When the
attempt under way proves to be a long one, the leases behind it are given back, for others to begin.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from offload.errors import OffloadError
from offload.model.outcome import Outcome
from offload.runner.execute import Control
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.verdict import Cause
from offload.wire.codec import decode, encode
from offload.wire.http import Connection, WokenError
from offload.wire.runner_protocol import (
    LONG,
    Completion,
    Lease,
    LeaseRequest,
    LeaseResponse,
    Order,
    OrderKind,
)

_SLACK: Final = 30.0
"""Seconds beyond the launcher's poll after which a silent connection counts as broken."""
_QUICK: Final = 0.05
"""Seconds; an empty answer that came faster was outdated, and asking at once again would spin."""
_GATHER: Final = 1.0
"""Seconds that a completion waits for others while leases wait in the queue."""
_MOMENT: Final = 0.5
"""Seconds that an attempt takes at most for the next one to be thought as short."""
_AHEAD: Final = 63
"""Leases beyond the one that can begin."""


class Desk(threading.Thread):
    """Leases, orders and completions of one runner with one slot.

    Args:
        runner: its id.
        patience: for the launcher's absence.
        poll: seconds that the launcher may take to answer.
        pause: waits until a file descriptor can be read; it must not miss a signal.

    Attributes:
        problem: why the desk closed although work may be left; empty when all is well.
    """

    def __init__(self, runner: str, patience: Patience, *, poll: float, pause: Callable[[int], None]) -> None:
        super().__init__(name="desk", daemon=True)
        self._pause = pause
        self._runner = runner
        self._patience = patience
        self._timeout = poll + _SLACK
        self._lock = threading.Lock()
        self._queue: deque[Lease] = deque()
        self._few = 0
        self._began = 0.0
        self._took = math.inf
        self._holding: dict[str, Control] = {}
        self._cancelling: set[str] = set()
        # Until it is sent, the age of a completion is the time of its end.
        self._completions: dict[str, Completion] = {}
        self._returned: set[str] = set()
        self._stopping = False
        self._silent = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.problem = ""

    # --- the main thread's side -------------------------------------------------------------------

    def next_lease(self) -> tuple[Lease, Control] | None:
        """The next attempt; blocks until there is one. None: there will be no more."""
        while True:
            with self._lock:
                if self._queue and not self._stopping:
                    lease = self._queue.popleft()
                    self._began = time.monotonic()
                    if self._completions and len(self._queue) <= self._few:
                        os.eventfd_write(self._wake, 1)
                    return lease, self._holding[lease.token]
                if self._stopping:
                    return None
            self._pause(self._news)
            with contextlib.suppress(BlockingIOError):  # it was a signal
                os.eventfd_read(self._news)

    @property
    def is_quick(self) -> bool:
        """Whether the latest attempt was a matter of a moment, so that the next one may be, too."""
        return self._took < _MOMENT

    def complete(self, token: str, outcome: Outcome, output: bytes = b"") -> None:
        """Tell the launcher how an attempt ended and what it printed last, until it is settled."""
        now = time.monotonic()
        self._took = now - self._began
        self._forget(token, Completion(token=token, outcome=outcome, took=self._took, age=now, output=output))

    def drop(self, token: str) -> None:
        """Say no more about this attempt."""
        self._forget(token, None)

    def _forget(self, token: str, completion: Completion | None) -> None:
        with self._lock:
            del self._holding[token]
            if completion is not None:
                self._completions[token] = completion
            can_wait = self._queue and not self._stopping
        if not can_wait:
            os.eventfd_write(self._wake, 1)

    def evict(self) -> None:
        """End what runs, with grace, and take no more. Safe in a signal handler: it takes no lock."""
        self._stopping = True
        for control in tuple(self._holding.values()):
            control.want(Cause.EVICT)
        os.eventfd_write(self._news, 1)
        os.eventfd_write(self._wake, 1)

    def fall_silent(self) -> None:
        """Say nothing more, not even what is held: only the cluster knows how that ended."""
        self._silent = True
        os.eventfd_write(self._wake, 1)

    def decline(self) -> None:
        """Give back leases that came but will not be begun, because the runner ends."""
        with self._lock:
            self._give_back()
        os.eventfd_write(self._wake, 1)

    def _give_back(self) -> None:
        while self._queue:
            self._return(self._queue.popleft())

    def _return(self, lease: Lease) -> None:
        self._holding.pop(lease.token, None)
        self._returned.add(lease.token)

    def lose(self, token: str) -> None:
        """The launcher said elsewhere that this lease is lost."""
        with self._lock:
            if control := self._holding.get(token):
                control.want(Cause.DROP)

    def dismiss(self, problem: str = "") -> None:
        """The launcher wants nothing more of this runner: drop everything."""
        with self._lock:
            self._stopping = True
            self.problem = self.problem or problem
            self._completions.clear()
            self._returned.clear()
            for control in self._holding.values():
                control.want(Cause.DROP)
        os.eventfd_write(self._news, 1)
        os.eventfd_write(self._wake, 1)

    # --- the thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """Call until the runner stops and every completion is settled."""
        try:
            with self._patience.connect(self._timeout) as connection:
                while not self._finished():
                    self._turn(connection)
        except Dismissed:
            self.dismiss()
        except OffloadError as error:
            self.dismiss(error.sentence)

    def _finished(self) -> bool:
        with self._lock:
            is_open = self._holding or self._completions or self._returned
            return self._silent or (self._stopping and not is_open)

    def _turn(self, connection: Connection) -> None:
        if self._queue and not self._gather():
            return
        began = time.monotonic()
        try:
            response = self._patience.call(lambda: self._ask(connection))
        except WokenError:
            return
        self._apply(response)
        if response == LeaseResponse() and time.monotonic() - began < _QUICK:
            time.sleep(_QUICK)

    def _gather(self) -> bool:
        """Let some attempts end, unless it is urgent; whether there is something to settle."""
        if select.select([self._wake], [], [], _GATHER)[0]:
            os.eventfd_read(self._wake)
        with self._lock:
            if self._stopping or time.monotonic() - self._began > LONG:
                self._give_back()
            return bool(self._completions or self._returned)

    def _ask(self, connection: Connection) -> LeaseResponse:
        if select.select([self._wake], [], [], 0)[0]:
            os.eventfd_read(self._wake)
        request = self._request()
        is_long_poll = not (request.completions or request.returned)
        wake = self._wake if is_long_poll else None  # the others are answered at once
        answer = connection.request("POST", f"{PREFIX}/lease", encode(request), wake=wake)
        return decode(answer.read(), LeaseResponse)

    def _request(self) -> LeaseRequest:
        with self._lock:
            now = time.monotonic()
            idle = not self._holding and not self._stopping
            is_quick = bool(self._completions) and now - self._began < LONG
            return LeaseRequest(
                runner=self._runner,
                free_slots=int(idle),
                ahead=_AHEAD if idle or (is_quick and not self._stopping) else 0,
                holding=tuple(self._holding),
                completions=tuple(replace(one, age=now - one.age) for one in self._completions.values()),
                returned=tuple(self._returned),
                cancelling=tuple(self._cancelling & self._holding.keys()),
            )

    def _apply(self, response: LeaseResponse) -> None:
        with self._lock:
            for token in response.settled:
                self._completions.pop(token, None)
                self._returned.discard(token)
            for lease in response.leases:
                if self._stopping:  # it was under way when the runner was told to end
                    self._return(lease)
                elif lease.token not in self._holding:
                    self._holding[lease.token] = Control()
                    self._queue.append(lease)
            self._few = len(self._queue) // 4
            for order in response.orders:
                self._obey(order)
        os.eventfd_write(self._news, 1)

    def _obey(self, order: Order) -> None:
        if order.kind is OrderKind.STOP:
            self._stopping = True
            return
        if order.kind is OrderKind.DROP:
            self._completions.pop(order.token, None)
        waiting = next((lease for lease in self._queue if lease.token == order.token), None)
        if waiting:
            self._queue.remove(waiting)
            self._return(waiting)
            return
        if control := self._holding.get(order.token):
            control.want(Cause.CANCEL if order.kind is OrderKind.CANCEL else Cause.DROP)
            self._cancelling.add(order.token)
