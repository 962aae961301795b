"""Keeps what jobs print, and shows it while it comes.

One :class:`~offload.launcher.log_file.LogFile` a job. It is kept in mind while the job prints; a job that
has been quiet for long is forgotten and found out again from its file. Readers follow by byte position,
never past what is whole, so they need no lock. Files are read and written on threads: a disk may take its
time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from offload.errors import ProtocolError
from offload.launcher.hub import Hub
from offload.launcher.log_file import LogFile, last, only, read_frames
from offload.model.ids import RunnerId
from offload.store import jobs, tasks
from offload.store.engine import Store
from offload.wire.frames import Frame, Stream
from offload.wire.runner_protocol import LogReceipt

_REMEMBERED: Final = 256
"""Jobs whose log is kept in mind."""
_BATCH: Final = 4 << 20
"""Bytes of one request that are held before they are written."""
PING: Final = 15.0
"""Seconds of silence after which a follower gets a ping."""
_JOB: Final = re.compile(r"[a-z0-9]+")


class LogKeeper:
    """The logs below a directory."""

    def __init__(self, directory: Path, store: Store, hub: Hub, *, ping: float = PING) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._store = store
        self._hub = hub
        self._ping = ping
        self._files: OrderedDict[str, LogFile] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def append(self, job: str, task: int, attempt: int, body: AsyncIterator[bytes]) -> LogReceipt:
        """Keep the frames of one attempt that aren't kept yet, up to a gap.

        Raises:
            ProtocolError: these are no frames, or frames of another attempt.
            DiskFullError: there is no space; what was kept before stays.
        """
        held = bytearray()
        receipt = None
        async for chunk in body:
            held += chunk
            if len(held) >= _BATCH:
                looked_at, receipt = await self._append(job, task, attempt, bytes(held))
                if not looked_at:
                    return receipt
                del held[:looked_at]
        if held or receipt is None:
            _, receipt = await self._append(job, task, attempt, bytes(held))
        return receipt

    async def _append(self, job: str, task: int, attempt: int, data: bytes) -> tuple[int, LogReceipt]:
        async with self._lock(job):
            file = await self._open(job)
            before = file.size
            looked_at = await asyncio.to_thread(file.append, task, attempt, data)
            receipt = LogReceipt(next_seq=file.next_seq.get((task, attempt), 0))
            await self._forget_ended(job, file)
        if file.size > before:
            self._hub.ring(f"logs:{job}")
        return looked_at, receipt

    async def append_ends(self, job: str, runner: RunnerId, ends: Mapping[str, bytes]) -> set[str]:
        """Keep the last frames of some attempts, by the token of each lease; the tokens that found no space.

        Frames for leases that the runner doesn't hold (any more) are nobody's.

        Raises:
            ProtocolError: these are no frames, or frames of another attempt.
        """
        async with self._lock(job):
            held = await self._store.run(tasks.attempts_held, runner, tuple(ends))
            file = await self._open(job)
            kept = await asyncio.to_thread(
                file.append_ends, {key: ends[token] for token, key in held.items()}
            )
            await self._forget_ended(job, file)
        self._hub.ring(f"logs:{job}")
        return {token for token, key in held.items() if key not in kept}

    async def _forget_ended(self, job: str, file: LogFile) -> None:
        if file.has_many:
            file.forget_all_but(await self._store.run(tasks.attempts_under_way, job))

    def _lock(self, job: str) -> asyncio.Lock:
        return self._locks.setdefault(job, asyncio.Lock())

    async def _open(self, job: str) -> LogFile:
        file = self._files.get(job)
        if file is None:
            under_way = await self._store.run(tasks.attempts_under_way, job)
            file = await asyncio.to_thread(LogFile.open, self._path(job), under_way)
            self._files[job] = file
        self._files.move_to_end(job)
        while len(self._files) > _REMEMBERED:
            self._forget(next(iter(self._files)))
        return file

    def _forget(self, job: str) -> None:
        self._files.pop(job, None)
        if job in self._locks and not self._locks[job].locked():
            del self._locks[job]

    async def check(self, job: str, after: int) -> None:
        """Raise ``ProtocolError`` when a job's log can't be read from this byte position."""
        await self._read(job, after)

    async def read(
        self,
        job: str,
        *,
        after: int = 0,
        task: int | None = None,
        tail: int | None = None,
        follow: bool = False,
        rest: bool = False,
    ) -> AsyncIterator[bytes]:
        """Frames from a byte position on; with ``follow`` until the job has ended, with pings in between.

        With ``rest`` also until it is paused and nothing of it runs. With ``tail`` the last ones of what
        there is so far, at most so many bytes, and one in any case.
        """
        kept = b""
        with self._hub.listen(f"logs:{job}", f"rest:{job}") as bell:
            ended = not follow or await self._has_ended(job, rest=rest)
            while True:
                while data := await self._read(job, after):
                    after += len(data)
                    shown = data if task is None else only(data, task)
                    if tail is not None:
                        kept = last(kept + shown, tail)
                    elif shown:
                        yield shown
                if kept:
                    yield kept
                tail, kept = None, b""
                if ended or self._hub.stopping:
                    return
                rung = await bell.wait(self._ping)
                if not rung:
                    yield _ping()
                ended = rung != {f"logs:{job}"} and await self._has_ended(job, rest=rest)

    async def _has_ended(self, job: str, *, rest: bool) -> bool:
        view = await self._store.run(jobs.get, job)
        return view.state.is_terminal or (rest and view.is_at_rest)

    async def _read(self, job: str, at: int) -> bytes:
        file = self._files.get(job)
        if file is None:
            async with self._lock(job):
                file = await self._open(job)
        return await asyncio.to_thread(read_frames, file.path, at, file.size)

    async def remove(self, job: str) -> None:
        """Remove a job's log; nothing there is no error."""
        self._forget(job)
        await asyncio.to_thread(self._path(job).unlink, missing_ok=True)

    def _path(self, job: str) -> Path:
        if not _JOB.fullmatch(job):
            raise ProtocolError(f"{job!r} is not the id of a job.")
        return self._directory / f"{job}.frames"


def _ping() -> bytes:
    return Frame(Stream.PING, 0, 0, 0, time.time_ns() // 1000, b"").encode()
