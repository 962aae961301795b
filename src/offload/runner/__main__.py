"""``python -m offload.runner``: started by a backend, never by a person.

As in the launcher, what is imported stays to the end, so it isn't searched for garbage: a twentieth of each
start.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import NoReturn

gc.disable()

from offload.errors import OffloadError  # noqa: E402  not before the line above
from offload.runner.config import read_config  # noqa: E402
from offload.runner.runner import Runner  # noqa: E402

gc.freeze()
gc.enable()


def main() -> int:
    """Run one runner; the exit status."""
    threading.excepthook = _fall
    try:
        return Runner(read_config(os.environ)).run()
    except OffloadError as error:
        sys.stderr.write(f"offload runner: {error.sentence} {error.next_step}\n")
        return error.exit_status


def _fall(failure: threading.ExceptHookArgs) -> NoReturn:
    """A thread has failed that others wait for: better no runner than one that waits for ever."""
    threading.__excepthook__(failure)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
