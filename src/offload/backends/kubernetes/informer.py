"""All objects of one kind that a selector chooses, and every change to them, for as long as anybody listens.

List, then watch from the list's version. A watch that the server ends in order is gone on with from the last
version heard. After any trouble (silence, a broken connection, a version that is forgotten) comes a new list,
and what is missing from it is told as deleted: so nothing is missed, whatever happened meanwhile, and whoever
listens needs no second way to find out. Trouble never ends the informer: it waits, longer each time, and says
in ``problem`` what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic

from offload.backends.kubernetes.answers import Change, ChangeType, O
from offload.backends.kubernetes.api_errors import (
    ApiUnreachableError,
    GoneError,
    KubernetesError,
    Status,
)
from offload.backends.kubernetes.client import Client

__all__ = ["Backoff", "Informer", "Listed", "Seen"]

_log = logging.getLogger(__name__)
PATIENCE: Final = 60.0
"""Seconds of silence after which a watch counts as dead; the server ends each a little earlier."""
_SHORT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Seen(Generic[O]):
    """An object as it is; or, if deleted, as it was last seen."""

    object: O
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything that there is has been told."""


class Backoff:
    """Pauses that double from ``first`` to ``longest`` seconds, each shortened by up to a half at random."""

    def __init__(self, first: float = 0.5, longest: float = 30.0) -> None:
        self._first = first
        self._longest = longest
        self._tries = 0

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._tries = 0

    def next(self, at_least: float = 0.0) -> float:
        """The next pause; ``at_least`` is what the server asked for."""
        pause = min(self._longest, self._first * 2.0**self._tries)
        self._tries = min(self._tries + 1, 16)
        return max(at_least, pause * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, guards nothing


class Informer(Generic[O]):
    """One kind of object below one path.

    Args:
        client: how to ask.
        path: of the collection.
        kind: what to read of each object.
        labels: label selector.
        fields: field selector.
        patience: seconds of silence after which a watch counts as dead.
        backoff: pauses after trouble.

    Attributes:
        problem: what is wrong now; empty when all is well.
        last_heard: monotonic time of the last word from the server.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        kind: type[O],
        *,
        labels: str = "",
        fields: str = "",
        patience: float = PATIENCE,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._kind = kind
        self._labels = labels
        self._fields = fields
        self._patience = patience
        self._backoff = backoff or Backoff()
        self.problem = ""
        self.last_heard = time.monotonic()

    async def follow(self) -> AsyncGenerator[Seen[O] | Listed, None]:
        """What there is, then :class:`Listed`, then changes; after trouble the same, of what has changed.

        Never ends, and never raises for what the server says or doesn't say.
        """
        known: dict[str, O] = {}
        version = ""
        while True:
            try:
                if not version:
                    objects, version = await self._list()
                    for seen in _differences(known, objects):
                        yield seen
                    yield Listed()
                async with aclosing(self._watch(version)) as changes:
                    async for change in changes:
                        version = change.resource_version
                        if change.type is not ChangeType.BOOKMARK:
                            yield _noted(known, change)
            except KubernetesError as trouble:
                version = ""
                _log.info("%s: %s", self._path, trouble.sentence, extra={"action": "list_again"})
                self.problem = "" if isinstance(trouble, GoneError) else trouble.sentence
                await asyncio.sleep(self._backoff.next(trouble.retry_after))

    async def _list(self) -> tuple[list[O], str]:
        listed = await self._client.list(self._path, self._kind, labels=self._labels, fields=self._fields)
        self._heard()
        return listed

    async def _watch(self, version: str) -> AsyncGenerator[Change[O], None]:
        """One watch; a server or proxy that ends it at once is trouble, or we would ask without a pause."""
        began, brought = time.monotonic(), False
        watching = self._client.watch(
            self._path,
            self._kind,
            since=version,
            labels=self._labels,
            fields=self._fields,
            patience=self._patience,
        )
        async with aclosing(watching) as changes:
            async for change in changes:
                self._heard()
                self._backoff.reset()
                brought = True
                yield change
        # A watch that is listened to too slowly is ended as well, and simply goes on.
        if not brought and time.monotonic() - began < _SHORT:
            raise ApiUnreachableError("watch what happens", Status(message="each watch is ended at once"))
        self._heard()
        self._backoff.reset()

    def _heard(self) -> None:
        self.problem = ""
        self.last_heard = time.monotonic()


def _differences(known: dict[str, O], objects: list[O]) -> Iterator[Seen[O]]:
    """What a list says that wasn't known; first what is gone, since a name may be somebody else's by now."""
    there = {each.metadata.uid: each for each in objects}
    gone = [known.pop(uid) for uid in known.keys() - there.keys()]
    yield from (Seen(each, deleted=True) for each in gone)
    for uid, each in there.items():
        before = known.get(uid)
        known[uid] = each
        if before is None or before.metadata.resource_version != each.metadata.resource_version:
            yield Seen(each)


def _noted(known: dict[str, O], change: Change[O]) -> Seen[O]:
    if change.type is ChangeType.DELETED:
        known.pop(change.object.metadata.uid, None)
        return Seen(change.object, deleted=True)
    known[change.object.metadata.uid] = change.object
    return Seen(change.object)
