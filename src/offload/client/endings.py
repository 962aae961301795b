"""Ending by a signal without leaving anything half-done.

SIGTERM and SIGHUP (a terminal that is closed) end a Python program on the spot, and so what it was writing
stays there as it is. While something must be cleaned up, they end it as Ctrl-C does: by way of every
``finally``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class _EndedError(BaseException):
    """A signal asked this program to end."""


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP unwind the stack first, and then end the program as they always do.

    A program that handles or ignores one of them, as with ``nohup``, goes on doing so. Only a main thread
    can do this; in another one nothing is different.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    received: list[int] = []

    def unwind(number: int, _frame: FrameType | None) -> None:
        # A terminal that is closed sends two: one of the system's, one of its shell's.
        if not received:
            received.append(number)
            raise _EndedError

    try:
        for number in ours:
            signal.signal(number, unwind)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if received:
            os.kill(os.getpid(), received[0])
