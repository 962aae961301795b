"""The program: the first thing that Python loads of it, and so it loads next to nothing itself.

What follows takes most of the time that a quick command takes, and it may be interrupted, too. So Ctrl-C is
made to end the program in silence first, and closed streams get something to stand for them, before another
file is opened under their numbers.
"""

from __future__ import annotations

# All of signal but its enumerations, which take 5 ms to import.
import _signal  # type: ignore[import-not-found]
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

_INTERRUPTED: Final = 130
_MANY: Final = 100_000
"""Objects made until Python looks for garbage: more than a command imports."""


def run() -> NoReturn:
    """Run the command line of this process and end.

    Python would search all that is imported for garbage again and again, and take it apart at the end: both
    take longer than many a command's own work, and change nothing.
    """
    by_hand = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler  # not so with nohup
    if by_hand:
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    gc.set_threshold(_MANY)
    _stand_in_for_closed_streams()
    # Ctrl-C has been taken care of.
    from contextlib import suppress  # noqa: PLC0415

    from offload.cli.main import main  # noqa: PLC0415

    try:
        if by_hand:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        status = main()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # who can't be told any more can't be told that either
            stream.flush()
    os._exit(status)


def _stand_in_for_closed_streams() -> None:
    """Who closed a stream (``>&-``) doesn't want it: it becomes ``/dev/null``."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The system gives the lowest free number, and so the one that is closed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115  for as long as the program
