"""``python -m offload.runner``: started by a backend, never by a person."""

from __future__ import annotations

import os
import sys

from offload.errors import OffloadError
from offload.runner.config import read_config
from offload.runner.runner import Runner


def main() -> int:
    """Run one runner; the exit status."""
    try:
        return Runner(read_config(os.environ)).run()
    except OffloadError as error:
        sys.stderr.write(f"offload runner: {error.sentence} {error.next_step}\n")
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
