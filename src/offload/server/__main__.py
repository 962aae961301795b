"""``python -m offload.server``: started by the first command that needs a launcher.

What is imported stays to the end. Looking for garbage in it would cost an eighth of each start, and a little
again and again while the launcher runs.
"""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the launcher; the exit status."""
    gc.disable()
    from offload.server.process import main as serve  # noqa: PLC0415  not before the line above

    gc.freeze()
    gc.enable()
    return serve()


if __name__ == "__main__":
    sys.exit(main())
