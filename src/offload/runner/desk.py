"""The runner's side of the launcher's lease desk: one thread that makes every lease call.

It brings attempts and orders, renews what is held, and repeats completions until they are settled. Whenever
there is something new to say, the long poll under way is given up and a fresh one says it. The main thread
waits for news on a file descriptor, so that a signal can't be missed.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Final

from offload.errors import OffloadError
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.runner.execute import Control
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.verdict import Cause
from offload.wire.codec import decode, encode
from offload.wire.http import Connection, WokenError
from offload.wire.runner_protocol import (
    Completion,
    Lease,
    LeaseRequest,
    LeaseResponse,
    Order,
    OrderKind,
)

_SLACK: Final = 30.0
"""Seconds beyond the launcher's poll after which a silent connection counts as broken."""
_NOT_STARTED: Final = Outcome(
    exit_status=None,
    reason=Reason(code=ReasonCode.EVICTED, sentence="The cluster ended the runner before the script began."),
)
_QUICK: Final = 0.05
"""Seconds; an empty answer that came faster was outdated, and asking at once again would spin."""


class Desk(threading.Thread):
    """Leases, orders and completions of one runner with one slot.

    Attributes:
        problem: why the desk closed although work may be left; empty when all is well.
    """

    def __init__(self, runner: str, patience: Patience, *, poll: float) -> None:
        super().__init__(name="desk", daemon=True)
        self._runner = runner
        self._patience = patience
        self._timeout = poll + _SLACK
        self._lock = threading.Lock()
        self._granted: deque[Lease] = deque()
        self._holding: dict[str, Control] = {}
        self._cancelling: set[str] = set()
        self._completions: dict[str, Completion] = {}
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
                if self._granted and not self._stopping:
                    lease = self._granted.popleft()
                    return lease, self._holding[lease.token]
                if self._stopping:
                    return None
            select.select([self._news], [], [])
            os.eventfd_read(self._news)

    def complete(self, token: str, outcome: Outcome) -> None:
        """Tell the launcher how an attempt ended, until it is settled."""
        self._forget(token, Completion(token=token, outcome=outcome))

    def drop(self, token: str) -> None:
        """Say no more about this attempt."""
        self._forget(token, None)

    def _forget(self, token: str, completion: Completion | None) -> None:
        with self._lock:
            self._holding.pop(token).close()
            if completion is not None:
                self._completions[token] = completion
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
        """Give back leases that came but will not be started, because the runner ends."""
        with self._lock:
            while self._granted:
                self._refuse(self._granted.popleft())
        os.eventfd_write(self._wake, 1)

    def _refuse(self, lease: Lease) -> None:
        if control := self._holding.pop(lease.token, None):
            control.close()
        self._completions[lease.token] = Completion(token=lease.token, outcome=_NOT_STARTED)

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
            settled = self._stopping and not self._holding and not self._completions
            return settled or self._silent

    def _turn(self, connection: Connection) -> None:
        began = time.monotonic()
        try:
            response = self._patience.call(lambda: self._ask(connection))
        except WokenError:
            return
        self._apply(response)
        if response == LeaseResponse() and time.monotonic() - began < _QUICK:
            time.sleep(_QUICK)

    def _ask(self, connection: Connection) -> LeaseResponse:
        if select.select([self._wake], [], [], 0)[0]:
            os.eventfd_read(self._wake)
        answer = connection.request("POST", f"{PREFIX}/lease", encode(self._request()), wake=self._wake)
        return decode(answer.read(), LeaseResponse)

    def _request(self) -> LeaseRequest:
        with self._lock:
            return LeaseRequest(
                runner=self._runner,
                free_slots=int(not self._holding and not self._stopping),
                holding=tuple(self._holding),
                completions=tuple(self._completions.values()),
                cancelling=tuple(self._cancelling & self._holding.keys()),
            )

    def _apply(self, response: LeaseResponse) -> None:
        with self._lock:
            for token in response.settled:
                self._completions.pop(token, None)
            for lease in response.leases:
                if self._stopping:  # it was under way when the runner was told to end
                    self._refuse(lease)
                elif lease.token not in self._holding:
                    self._holding[lease.token] = Control()
                    self._granted.append(lease)
            for order in response.orders:
                self._obey(order)
        os.eventfd_write(self._news, 1)

    def _obey(self, order: Order) -> None:
        if order.kind is OrderKind.STOP:
            self._stopping = True
            return
        if order.kind is OrderKind.DROP:
            self._completions.pop(order.token, None)
        if control := self._holding.get(order.token):
            control.want(Cause.CANCEL if order.kind is OrderKind.CANCEL else Cause.DROP)
            self._cancelling.add(order.token)
