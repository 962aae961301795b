"""From the spool to the launcher, as it comes: one batch under way, the next one growing meanwhile.

One thread and one connection serve all attempts of a runner, one after another. An attempt that prints
nothing never disturbs them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from offload.errors import LeaseLostError, OffloadError
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.spool import Spool
from offload.wire.codec import decode
from offload.wire.frames import FRAMES_TYPE
from offload.wire.http import Connection
from offload.wire.runner_protocol import LEASE_HEADER, LogReceipt


class Delivery:
    """The frames of one attempt on their way.

    Args:
        spool: of the attempt.
        token: of its lease.
        lost: called when the launcher says that the lease is.

    Attributes:
        problem: why the launcher did not take the output; empty when it did.
    """

    def __init__(self, spool: Spool, token: str, lost: Callable[[], None]) -> None:
        self.spool = spool
        self.token = token
        self.lost = lost
        self.problem = ""
        self._over = threading.Event()

    def wait(self) -> None:
        """Wait until all is kept, or given up. The spool is sealed or abandoned."""
        if self.spool.has_frames:
            self._over.wait()

    def carry(self, post: Callable[[bytes], LogReceipt], dismissed: Callable[[], None]) -> None:
        """Send until the spool is sealed and all of it is kept."""
        try:
            while batch := self.spool.batch():
                self.spool.acknowledge(post(batch).next_seq)
        except LeaseLostError:
            self._give_up(self.lost)
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

    def follow(self, spool: Spool, token: str, *, lost: Callable[[], None]) -> Delivery:
        """Deliver a spool's frames from the first one on."""
        delivery = Delivery(spool, token, lost)
        spool.when_begun(lambda: self._deliveries.put(delivery))
        return delivery

    def close(self) -> None:
        """Deliver nothing more, and end the thread."""
        self._deliveries.put(None)
        self.join()

    def run(self) -> None:
        """Deliver until closed."""
        with self._patience.connect() as connection:
            while delivery := self._deliveries.get():
                delivery.carry(self._posting(connection, delivery.token), self._dismissed)

    def _posting(self, connection: Connection, token: str) -> Callable[[bytes], LogReceipt]:
        def send(batch: bytes) -> LogReceipt:
            answer = connection.request(
                "POST", f"{PREFIX}/logs", batch, headers={LEASE_HEADER: token}, content_type=FRAMES_TYPE
            )
            return decode(answer.read(), LogReceipt)

        return lambda batch: self._patience.call(lambda: send(batch))
