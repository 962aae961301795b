"""What a gateway, whoever starts it, and the launcher that dials it agree on.

The gateway is started as ``python -P -m offload.gateway`` with the variable below. Runners dial one port of
it. The other one is open on the loopback interface alone, so that nobody in the network reaches it: the
launcher comes through the API server, and says in its first line who it is. Everything after the two lines is
a tunnel (:mod:`~offload.wire.tunnel`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from offload.wire.codec import encode

PROOF: Final = "OFFLOAD_GATEWAY_PROOF"
"""SHA-256, in hexadecimal, of the secret that the launcher shows; whoever reads it can't show the secret."""
RUNNER_PORT: Final = 8750
LAUNCHER_PORT: Final = 8751
PROTOCOL: Final = 1


@dataclass(frozen=True, slots=True)
class Introduction:
    """The launcher's first line."""

    secret: str
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Welcome:
    """The gateway's answer; ``refusal`` is a sentence, or empty."""

    refusal: str = ""
    protocol: int = PROTOCOL


def line(said: Introduction | Welcome) -> bytes:
    """As it is sent."""
    return encode(said) + b"\n"


def proof_of(secret: str) -> str:
    """What the gateway is told, so that it knows the launcher."""
    return hashlib.sha256(secret.encode()).hexdigest()
