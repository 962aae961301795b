"""Calls to the launcher that outlast its absence.

The launcher may be restarting, upgraded, or behind a broken network. A runner holds work worth hours, so it
repeats every call with jittered back-off until it is answered, and gives up only after a day of silence.
An answer that says "you are not wanted" ends all patience at once, and so does silence where the runner's own
directory is gone: whoever removed it has removed the launcher's as well.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from offload.errors import LauncherUnreachableError, OffloadError, PoolReleasedError, UnauthorizedError
from offload.wire.http import Connection

T = TypeVar("T")
_FIRST: Final = 0.1
_LONGEST: Final = 5.0
GIVE_UP: Final = 24 * 3600.0
"""Seconds without any answer after which a runner ends."""
PREFIX: Final = "/runner/v1"


class Dismissed(Exception):  # noqa: N818  it is an order, not an error
    """The launcher wants nothing more of this runner, or has been silent for a day, or was removed."""


class Disowned(Dismissed):
    """What answers is not the launcher that this runner belongs to: an end, but not one in order."""


class Patience:
    """How the threads of one runner dial. Each thread opens its own connections.

    ``call`` returns the answer; raises :class:`Dismissed` (401, 410, or too long a silence) and any other
    error that repeating the call can't change.

    Args:
        address: of the launcher.
        token: of the runner's pool.
        directory: of the runner.
        certificate: what the launcher shows; None is what the system trusts.
        sleep: waits so many seconds.
        give_up: seconds of silence after which nobody is expected any more.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        directory: Path,
        certificate: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        give_up: float = GIVE_UP,
    ) -> None:
        self._address = address
        self._token = token
        self._directory = directory
        self._certificate = certificate
        self._sleep = sleep
        self._give_up = give_up
        self._answered = time.monotonic()

    def connect(self, timeout: float = 60.0) -> Connection:
        """A connection for the calling thread."""
        return Connection(self._address, token=self._token, certificate=self._certificate, timeout=timeout)

    def call(self, exchange: Callable[[], T]) -> T:
        """Repeat ``exchange`` until it is answered."""
        pause = _FIRST
        while True:
            try:
                answer = exchange()
            except UnauthorizedError as error:
                raise Disowned(f"The launcher at {self._address} says: {error.sentence}") from error
            except PoolReleasedError as error:
                raise Dismissed(error.sentence) from error
            except OffloadError as error:
                self._consider(error)
            else:
                self._answered = time.monotonic()
                return answer
            self._sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311  spreads runners in time
            pause = min(pause * 2, _LONGEST)

    def _consider(self, error: OffloadError) -> None:
        """Whether to go on trying after this."""
        if error.http_status < 500:  # noqa: PLR2004  the launcher understood, and said no
            self._answered = time.monotonic()
            raise error
        if not isinstance(error, LauncherUnreachableError):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > self._give_up:
            raise Dismissed("The launcher has not answered for a day.") from error
        elif _is_gone(self._directory):
            raise Dismissed(f"The launcher doesn't answer, and {self._directory} is gone.") from error


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:  # a file server that is away as well
        return False
    return False
