"""``python -P -m offload.gateway``: serve until told to end, or until nobody has come for an hour.

An end for want of work is one in order, after which the cluster removes what belonged to it. Any other end is
none, and the cluster starts the gateway again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Final

from offload.gateway.gateway import READ_AHEAD, Gateway
from offload.wire.gateway_place import LAUNCHER_PORT, PROOF, RUNNER_PORT

_FORGOTTEN: Final = 3600.0
"""Seconds after which nobody will come any more: runners that are alive dial every few seconds."""
_LOOK: Final = 60.0
_TOLD_TO_END: Final = 128 + signal.SIGTERM


async def serve(proof: str) -> int:
    """Serve; the exit status."""
    gateway = Gateway(proof)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    _listening = (
        await asyncio.start_server(gateway.take_runner, None, RUNNER_PORT, limit=READ_AHEAD, backlog=1024),
        await asyncio.start_server(gateway.take_launcher, "127.0.0.1", LAUNCHER_PORT, limit=READ_AHEAD),
    )
    while gateway.idle < _FORGOTTEN:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), _LOOK)
            return _TOLD_TO_END
    return 0


def main() -> int:
    """Run the gateway; the exit status."""
    proof = os.environ.get(PROOF)
    if not proof:
        sys.stderr.write(f"The gateway needs {PROOF} in its environment.\n")
        return 2
    return asyncio.run(serve(proof))


if __name__ == "__main__":
    sys.exit(main())
