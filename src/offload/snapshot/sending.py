"""Sending the content of files: small ones from memory while the next are read, large ones as they are read.

Nearly all files of a working directory are small. They are read once, and while one batch travels and is
stored the next is read and hashed, so a first snapshot takes about as long as the slower of the two sides.

A launcher that lacks all of one batch probably lacks all of the next. On this machine, asking about a batch
takes a fifth of the time of sending it, and the launcher does nothing else meanwhile; so the next batch
follows in the same request without a question, two after the next such answer, then four. What travels in
vain is at most about as much as what was new before it.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from offload.model.blobs import Blob, BlobSink, Codec
from offload.snapshot.reading import checked_chunks
from offload.snapshot.walk import Node

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""

SMALL: Final = 1 << 20
"""Bytes up to which a file is held in memory to be sent."""
_BATCH: Final = 8 << 20
"""Bytes of one request, about."""


class Meter:
    """Adds up what is to be done and what is."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._total = self._done = 0

    def expect(self, size: int) -> None:
        """So many bytes more are to be done."""
        self._total += size

    def advance(self, size: int) -> None:
        """So many bytes more are done."""
        self._done += size
        if self._progress:
            self._progress(self._done, self._total)


class Asked:
    """Asks whether the launcher has a manifest, on a thread of its own: it looks at each blob of it.

    The sink is this thread's until :meth:`answer` returns. An empty digest isn't asked about, and not there.
    """

    def __init__(self, sink: BlobSink, digest: str) -> None:
        self._sink = sink
        self._digest = digest
        self._there = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._ask, name="offload-ask", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._there = bool(self._digest) and self._sink.has_manifest(self._digest)
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits for it
            self._error = error

    def answer(self) -> bool:
        """Wait for it; what went wrong is raised."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._there


@dataclass(slots=True)
class _Batch:
    """Contents by digest, and how many bytes the files have that hold them."""

    contents: dict[str, bytes] = field(default_factory=dict)
    size: int = 0


class SmallFiles:
    """Sends the content of small files from a thread of its own; one batch travels while the next is filled.

    What goes wrong there is raised by the next :meth:`add`, or at the end of the block.

    Attributes:
        there: digests that the launcher has.
        bytes_sent: how many bytes travelled.
    """

    def __init__(self, sink: BlobSink, meter: Meter) -> None:
        self.there: set[str] = set()
        self.bytes_sent = 0
        self._sink = sink
        self._meter = meter
        self._batch = _Batch()
        self._trust = 0
        self._batches: queue.Queue[_Batch | None] = queue.Queue(1)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._batch.contents:
            self._hand_over()
        if self._thread:
            self._finish(self._thread, error)
        if error is None and self._error:
            raise self._error

    def _finish(self, thread: threading.Thread, error: BaseException | None) -> None:
        if error is not None:
            with contextlib.suppress(queue.Empty):
                self._batches.get_nowait()
        self._batches.put(None)
        # The connection is free again once the thread has ended; who leaves altogether doesn't wait for that.
        if error is None or isinstance(error, Exception):
            thread.join()

    def add(self, digest: str, data: bytes) -> None:
        """Send this content, unless the launcher has it."""
        self._batch.contents[digest] = data
        self._batch.size += len(data)
        if self._batch.size >= _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._error:
            raise self._error
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="offload-send", daemon=True)
            self._thread.start()
        self._batches.put(self._batch)
        self._batch = _Batch()

    def _send_all(self) -> None:
        batches = iter(self._batches.get, None)
        for batch in batches:
            if self._error:
                continue
            try:
                self._send(batch, batches)
            except BaseException as error:  # noqa: BLE001  raised again in the thread that waits for it
                self._error = error

    def _send(self, batch: _Batch, following: Iterator[_Batch]) -> None:
        """Send what is new of a batch, and as many as are trusted to be new of those that follow it."""
        digests = [digest for digest in batch.contents if digest not in self.there]
        missing = self._sink.missing(digests)
        all_new = self._sink.is_near and len(missing) == len(digests)
        self._trust = max(1, 2 * self._trust) if all_new else 0
        if missing:
            self.there |= batch.contents.keys() - missing
            run = itertools.chain([batch], itertools.islice(following, self._trust))
            self.bytes_sent += self._sink.put(self._blobs(run))
        else:
            self._done(batch)

    def _blobs(self, batches: Iterable[_Batch]) -> Iterator[Blob]:
        for batch in batches:
            for digest, data in batch.contents.items():
                if digest not in self.there:
                    yield Blob(digest, Codec.RAW, (data,))
            self._done(batch)

    def _done(self, batch: _Batch) -> None:
        self.there.update(batch.contents)
        self._meter.advance(batch.size)


def send_files(root: bytes, files: Mapping[str, Node], sink: BlobSink, meter: Meter | None = None) -> int:
    """Send the content of files, by digest, in one request; says how many bytes travelled.

    Raises:
        FileChanged: a file's content isn't what its digest names any more.
        SnapshotUnreadableError: a file can't be read any more.
    """
    if not files:
        return 0

    def blobs() -> Iterator[Blob]:
        for digest, node in files.items():
            yield Blob(digest, Codec.RAW, checked_chunks(root, node, digest))
            if meter:
                meter.advance(node.fingerprint.size)

    return sink.put(blobs())
