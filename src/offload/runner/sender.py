"""From the spool to the launcher, as it comes: one batch under way, the next one growing meanwhile.

One thread and one connection serve all attempts of a runner, one after another. An attempt that prints
nothing never disturbs them. Where one short task follows another, and that only, output waits for a moment
and then goes along with the outcome of its attempt: a call for each would cost as much as such a task.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from offload.errors import LeaseLostError, OffloadError
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.spool import Spool
from offload.wire.codec import decode
from offload.wire.frames import FRAMES_TYPE
from offload.wire.http import Connection
from offload.wire.runner_protocol import LEASE_HEADER, LogReceipt

_LITTLE: Final = 1 << 12
"""Bytes of output that may go along with an outcome."""
_YOUNG: Final = 0.5
"""Seconds that output of a short task waits for the task's end."""


class Delivery:
    """The frames of one attempt on their way.

    Args:
        spool: of the attempt.
        token: of its lease.
        lost: called when the launcher says that the lease is.
        take: called once there is something for the sender.
        hurry: called when the sender has waited long enough.
        is_short: whether the attempt is thought to end soon.

    Attributes:
        due: when the sender takes what there is, by the monotonic clock.
        problem: why the launcher did not take the output; empty when it did.
    """

    def __init__(
        self,
        spool: Spool,
        token: str,
        lost: Callable[[], None],
        *,
        take: Callable[[Delivery], None],
        hurry: Callable[[], None],
        is_short: bool,
    ) -> None:
        self.spool = spool
        self.token = token
        self.due = 0.0
        self.problem = ""
        self._lost = lost
        self._take = take
        self._hurry = hurry
        self._patience = _YOUNG if is_short else 0.0
        self._lock = threading.Lock()
        self._has_begun = False
        self._is_carried = False
        self._over = threading.Event()
        spool.when_appended(self._look)

    def _look(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.due = time.monotonic() + self._patience
            self._take(self)
        if self.due and (not self._patience or self.spool.waiting > _LITTLE):
            self._do_not_wait()

    def _do_not_wait(self) -> None:
        self.due = 0.0
        self._hurry()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to carry."""
        return self._over.is_set()

    def last_frames(self) -> bytes:
        """What can go along with the outcome of the attempt; all else is kept, or given up. It is sealed."""
        with self._lock:
            rest = None if self._is_carried else self.spool.rest(_LITTLE)
            if rest is not None:
                self._over.set()
                return rest
        self.wait()
        return b""

    def wait(self) -> None:
        """Wait until all is kept, or given up. The spool is sealed or abandoned."""
        if self._has_begun and not self.is_over:
            self._do_not_wait()
            self._over.wait()

    def carry(self, post: Callable[[bytes], LogReceipt], dismissed: Callable[[], None]) -> None:
        """Send until the spool is sealed and all of it is kept."""
        with self._lock:
            if self.is_over:
                return
            self._is_carried = True
        try:
            while batch := self.spool.batch():
                self.spool.acknowledge(post(batch).next_seq)
        except LeaseLostError:
            self._give_up(self._lost)
        except Dismissed:
            self._give_up(dismissed)
        except OffloadError as error:
            self.problem = f"The launcher did not take the script's output: {error.sentence}"
            self.spool.abandon()
        finally:
            self._over.set()

    def _give_up(self, tell: Callable[[], None]) -> None:
        tell()
        self.spool.abandon()


class Sender(threading.Thread):
    """Carries one delivery after another; ``dismissed`` is called when the runner isn't wanted."""

    def __init__(self, patience: Patience, dismissed: Callable[[], None]) -> None:
        super().__init__(name="sender", daemon=True)
        self._patience = patience
        self._dismissed = dismissed
        self._deliveries: SimpleQueue[Delivery | None] = SimpleQueue()
        self._hurry = threading.Event()

    def follow(self, spool: Spool, token: str, *, lost: Callable[[], None], is_short: bool) -> Delivery:
        """Deliver a spool's frames from the first one on; ``is_short``: with a moment's patience."""
        return Delivery(
            spool, token, lost, take=self._deliveries.put, hurry=self._hurry.set, is_short=is_short
        )

    def close(self) -> None:
        """Deliver nothing more, and end the thread."""
        self._deliveries.put(None)
        self._hurry.set()
        self.join()

    def run(self) -> None:
        """Deliver until closed."""
        with self._patience.connect() as connection:
            while delivery := self._deliveries.get():
                self._wait_for(delivery)
                delivery.carry(self._posting(connection, delivery.token), self._dismissed)

    def _wait_for(self, delivery: Delivery) -> None:
        while not delivery.is_over and (left := delivery.due - time.monotonic()) > 0:
            self._hurry.wait(left)
            self._hurry.clear()

    def _posting(self, connection: Connection, token: str) -> Callable[[bytes], LogReceipt]:
        def send(batch: bytes) -> LogReceipt:
            answer = connection.request(
                "POST", f"{PREFIX}/logs", batch, headers={LEASE_HEADER: token}, content_type=FRAMES_TYPE
            )
            return decode(answer.read(), LogReceipt)

        return lambda batch: self._patience.call(lambda: send(batch))
