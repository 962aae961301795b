"""Wake-ups by topic: how one part of the launcher tells another that there may be something to see.

A wake-up is a hint and carries nothing. Whoever is woken reads the store; whoever isn't, because the
launcher was restarted in between, reads it after a while anyway. So nothing that is promised depends on the
hub, only how soon. Everything here belongs to one event loop.

Topics: ``job:ID`` when anything about a job changed, ``rest:ID`` when it may have ended or come to rest,
``desk:ID`` when all of its waiting runners may be told something, ``idle:ID`` when those without a task may,
``logs:ID`` when it printed, ``runner:ID`` when that runner called again or was seen to have ended,
``events`` when anything happened to any job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVENTS = "events"


class Bell:
    """Rung by topics; remembers rings until they are heard."""

    def __init__(self) -> None:
        self._rung: set[str] = set()
        self._event = asyncio.Event()

    def ring(self, topic: str) -> None:
        """Note a ring, and wake who waits."""
        self._rung.add(topic)
        self._event.set()

    async def wait(self, timeout: float | None = None) -> set[str]:  # noqa: ASYNC109  a result, not an error
        """The topics that rang since the last call, once there are any; none after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return set()
        self._event.clear()
        rung, self._rung = self._rung, set()
        return rung


class Hub:
    """Where topics are rung and listened to.

    Attributes:
        stopping: whether the launcher is about to end; every stream and long poll then comes to an end.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._bells: dict[str, set[Bell]] = {}
        self._on_job: list[Callable[[str], None]] = []

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Bell]:
        """A bell for some topics. Listen before reading what they announce, or news in between is missed."""
        bell = Bell()
        for topic in topics:
            self._bells.setdefault(topic, set()).add(bell)
        if self.stopping:
            bell.ring("stopping")
        try:
            yield bell
        finally:
            for topic in topics:
                self._bells[topic].discard(bell)
                if not self._bells[topic]:
                    del self._bells[topic]

    def ring(self, topic: str) -> None:
        """Wake all who listen to a topic."""
        for bell in self._bells.get(topic, ()):
            bell.ring(topic)

    def job_changed(self, job: str, *, desk: bool = False, idle: bool = False, goes_on: bool = False) -> None:
        """Something about a job changed.

        Args:
            job: its id.
            desk: all of its waiting runners may be told something. Each of them asks the store then, so what
                happens to one of a thousand must not wake the others.
            idle: those without a task may.
            goes_on: it certainly hasn't ended, nor come to rest.
        """
        self.ring(f"job:{job}")
        if not goes_on:
            self.ring(f"rest:{job}")
        if desk:
            self.ring(f"desk:{job}")
        if idle:
            self.ring(f"idle:{job}")
        self.ring(EVENTS)
        for call in self._on_job:
            call(job)

    def on_job(self, call: Callable[[str], None]) -> None:
        """Have ``call`` called with the id of every job that changed."""
        self._on_job.append(call)

    def stop(self) -> None:
        """Bring every stream and long poll to an end."""
        self.stopping = True
        for bells in self._bells.values():
            for bell in bells:
                bell.ring("stopping")
