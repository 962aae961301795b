"""How runners reach this launcher: at an address of its own, or through a gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol
from urllib.parse import urlsplit

from offload.backends.contract import Finding, Pool

__all__ = ["GATEWAY", "Callback", "Direct"]

GATEWAY: Final = "gateway"
"""The setting that stands for no address at all."""


class Callback(Protocol):
    """The way of the runners of one cluster to the launcher."""

    @property
    def problem(self) -> str:
        """What is in the way, or empty."""

    async def reach(self, pool: Pool) -> Pool:
        """The pool with where its runners dial; raises ``KubernetesError`` when that can't be said now."""

    def resume(self) -> None:
        """Take up what an earlier launcher left."""

    async def look(self) -> Finding:
        """How the way is, for whoever sets the cluster up."""

    async def aclose(self) -> None:
        """Let go of it; runners go on."""


class Direct:
    """Runners dial an address at which the launcher listens, or something that leads there.

    Args:
        address: ``http(s)://host:port``.
        listening: where the launcher listens.
    """

    def __init__(self, address: str, listening: Sequence[str]) -> None:
        self._address = address
        self._reachable = [one for one in listening if one.startswith("http")]

    @property
    def problem(self) -> str:
        """What is in the way, or empty."""
        return "" if self._reachable else f"{self._deaf} {self._advice}"

    @property
    def _deaf(self) -> str:
        return f"Runners dial {self._address}, and this launcher listens on no TCP address."

    @property
    def _advice(self) -> str:
        return (
            f"Write `listen = ['{urlsplit(self._address).netloc}']` at the top of config.toml, then "
            "`offload launcher stop`; the next command starts it again. Or leave `callback` out."
        )

    async def reach(self, pool: Pool) -> Pool:
        """The pool with the address."""
        return replace(pool, launcher=self._address)

    def resume(self) -> None:
        """There is nothing to take up."""

    async def look(self) -> Finding:
        """What is known before the first job."""
        if not self._reachable:
            return Finding(about="callback", works=False, sentence=self._deaf, next_step=self._advice)
        return Finding(
            about="callback",
            works=None,
            sentence=f"Runners dial {self._address}, because the settings say so, and this launcher listens "
            f"on {', '.join(self._reachable)}; whether they reach it shows with the first job.",
        )

    async def aclose(self) -> None:
        """There is nothing to let go of."""
