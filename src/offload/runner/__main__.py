"""``python -m offload.runner``: started by a backend, never by a person."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from offload.errors import OffloadError
from offload.runner.config import read_config
from offload.runner.runner import Runner


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
