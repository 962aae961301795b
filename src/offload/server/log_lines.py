"""The launcher's own log: a sentence for people and an ``action`` for programs, a line each, on stderr."""

from __future__ import annotations

import logging
import time
from typing import Final

_FACTS: Final = ("action", "job")


class _Lines(logging.Formatter):
    default_msec_format = "%s.%03dZ"

    @staticmethod
    def converter(seconds: float | None = None) -> time.struct_time:
        return time.gmtime(seconds)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name that logging calls
        facts = [f" {name}={getattr(record, name)}" for name in _FACTS if hasattr(record, name)]
        return f"{record.asctime} {record.levelname.lower()} {record.message}{''.join(facts)}"

    def usesTime(self) -> bool:  # noqa: N802  the name that logging calls
        return True


def write_log_lines() -> None:
    """Send what is logged to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "alembic", "asyncio", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
