"""From the spool to the launcher, as it comes: one batch under way, the next one growing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from offload.errors import LeaseLostError, OffloadError
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.spool import Spool
from offload.wire.codec import decode
from offload.wire.frames import FRAMES_TYPE
from offload.wire.http import Connection
from offload.wire.runner_protocol import LEASE_HEADER, LogReceipt


class Sender(threading.Thread):
    """Sends one attempt's frames until the spool is sealed and all of them are kept.

    ``lost`` is called when the launcher says that the lease is; ``dismissed`` when the runner isn't wanted.

    Attributes:
        problem: why the launcher did not take the output; empty when it did.
    """

    def __init__(
        self,
        spool: Spool,
        patience: Patience,
        token: str,
        *,
        lost: Callable[[], None],
        dismissed: Callable[[], None],
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._spool = spool
        self._patience = patience
        self._token = token
        self._lost = lost
        self._dismissed = dismissed
        self.problem = ""

    def run(self) -> None:
        """Send until there is nothing more to send."""
        try:
            with self._patience.connect() as connection:
                while batch := self._spool.batch():
                    self._spool.acknowledge(self._send(connection, batch).next_seq)
        except LeaseLostError:
            self._give_up(self._lost)
        except Dismissed:
            self._give_up(self._dismissed)
        except OffloadError as error:
            self.problem = f"The launcher did not take the script's output: {error.sentence}"
            self._spool.abandon()

    def _send(self, connection: Connection, batch: bytes) -> LogReceipt:
        def post() -> LogReceipt:
            answer = connection.request(
                "POST",
                f"{PREFIX}/logs",
                batch,
                headers={LEASE_HEADER: self._token},
                content_type=FRAMES_TYPE,
            )
            return decode(answer.read(), LogReceipt)

        return self._patience.call(post)

    def _give_up(self, tell: Callable[[], None]) -> None:
        tell()
        self._spool.abandon()
