"""The version, where a runner can have it without the 45 ms that ``importlib.metadata`` costs."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""The same as in ``pyproject.toml``; a test sees to it."""
VERSION_HEADER: Final = "X-Offload-Version"
"""In every answer of a launcher: its version."""
