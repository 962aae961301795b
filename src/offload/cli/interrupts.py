"""Ctrl-C while a job is followed: the first cancels it and waits, the second leaves at once.

The first one doesn't interrupt what is being written; a thread of its own asks the launcher to cancel.
Other signals are left alone: whoever ends this client, the job goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self


class LeftEarlyError(KeyboardInterrupt):
    """The person pressed Ctrl-C a second time."""


class Interrupts:
    """Turns the first Ctrl-C into a call of ``cancel`` and the second into :class:`LeftEarlyError`.

    Args:
        cancel: called once, in a thread of its own.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._before: Callable[[int, FrameType | None], object] | int | None = None
        self._thread = threading.Thread(target=cancel, daemon=True)
        self.pressed = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:  # with nohup, or in the background of a shell script
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.pressed:
            raise LeftEarlyError
        self.pressed = True
        self._thread.start()

    def settle(self, seconds: float) -> None:
        """Give the call of ``cancel`` this long to be over."""
        if self.pressed:
            self._thread.join(seconds)
