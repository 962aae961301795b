"""Three informers as one stream of news: Jobs, pods and events of this launcher in a namespace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.informer import Informer, Listed
from offload.backends.kubernetes.names import selector
from offload.backends.kubernetes.objects import Event, Job, Pod
from offload.backends.kubernetes.picture import Picture
from offload.model.ids import PoolId

_TOGETHER: Final = 1000
"""News taken at once."""


@dataclass(frozen=True, slots=True)
class News:
    """An object as it is now, or as it was last when it is no more."""

    object: Job | Pod | Event
    deleted: bool

    def into(self, picture: Picture) -> PoolId | None:
        """Let a picture take it in; the pool that it changes."""
        match self.object:
            case Job():
                return picture.see_job(self.object, deleted=self.deleted)
            case Pod():
                return picture.see_pod(self.object, deleted=self.deleted)
            case Event():
                return picture.see_event(self.object, deleted=self.deleted)


class Feed:
    """Runs the informers; ``complete`` once each has listed everything for the first time."""

    def __init__(self, client: Client, namespace: str, launcher: str) -> None:
        own = selector(launcher)
        core = f"/api/v1/namespaces/{namespace}"
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._informers: tuple[Informer[Job] | Informer[Pod] | Informer[Event], ...] = (
            Informer(client, jobs, Job, labels=own),
            Informer(client, f"{core}/pods", Pod, labels=own),
            Informer(client, f"{core}/events", Event),
        )
        self._listed: set[int] = set()
        self._queue: asyncio.Queue[News | Exception | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow(number)) for number in range(len(self._informers))]

    async def stop(self) -> None:
        """End the informers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def complete(self) -> bool:
        """Whether everything that was there at the start has been told."""
        return len(self._listed) == len(self._informers) and self._queue.empty()

    @property
    def problem(self) -> str:
        """Why the namespace can't be followed now; empty when it can."""
        return next((informer.problem for informer in self._informers if informer.problem), "")

    async def news(self, patience: float | None) -> list[News]:
        """What is new, all of it; nothing when nothing came for ``patience`` seconds."""
        try:
            async with asyncio.timeout(patience):
                found = [await self._queue.get()]
        except TimeoutError:
            return []
        while not self._queue.empty() and len(found) < _TOGETHER:
            found.append(self._queue.get_nowait())
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [one for one in found if isinstance(one, News)]

    async def _follow(self, number: int) -> None:
        try:
            async for seen in self._informers[number].follow():
                if isinstance(seen, Listed):
                    self._listed.add(number)
                    self._queue.put_nowait(None)
                else:
                    self._queue.put_nowait(News(seen.object, seen.deleted))
        except Exception as error:  # noqa: BLE001  told to whoever reads the news
            self._queue.put_nowait(error)
