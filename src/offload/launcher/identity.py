"""The identity of a launcher: that of its data directory, wherever the directory is moved."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from offload.launcher.tokens import write_private


def identity_of(data: Path) -> str:
    """The identity in a data directory, which gets one when it has none."""
    path = data / "launcher.id"
    if not path.exists():
        write_private(path, secrets.token_hex(16).encode())
    return path.read_text()


def place_of(data: Path) -> str:
    """Where a data directory is, for people: ``HOST:/path``."""
    return f"{socket.gethostname()}:{data}"
