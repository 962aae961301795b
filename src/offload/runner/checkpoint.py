"""What a task saves for its next attempt, kept with the launcher, so that any runner can go on from it.

The directory ``$OFFLOAD_CHECKPOINT`` is looked at now and then while the script runs, because a runner that
is lost says nothing more, and once after the script, when the attempt is no success. What the script is just
writing isn't taken; what was kept before stays. Where the directory itself has outlived the last attempt, it
is newer than what the launcher has, and is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from offload.errors import LeaseLostError, OffloadError
from offload.model.manifest import Manifest, decode_manifest
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.traffic import Blobs
from offload.snapshot.checkout import check_out
from offload.snapshot.diff import changed_since, send_results
from offload.snapshot.walk import Node, walk_results
from offload.wire.codec import encode
from offload.wire.runner_protocol import LEASE_HEADER, Lease, Saved
from offload.wire.trees import remove_tree

_SHARE: Final = 20
"""Keeping it takes at most one part in so many of the time."""


class Checkpoint:
    """The checkpoint of one attempt.

    Args:
        directory: what the script sees.
        lease: of the attempt.
        patience: for the launcher's absence.
        notice: told in a sentence what couldn't be kept.

    Attributes:
        is_wanted: whether the launcher would take it.
    """

    def __init__(
        self, directory: Path, lease: Lease, patience: Patience, *, notice: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._lease = lease
        self._patience = patience
        self._notice = notice
        self._kept: tuple[Node, ...] = ()
        self._told = ""
        self.is_wanted = True

    def restore(self) -> None:
        """Bring back what earlier attempts saved, unless it is there.

        Raises:
            OffloadError: it can't be had, or there is no space for it.
        """
        digest = self._lease.checkpoint
        if not digest or os.listdir(self._directory):
            return
        part = self._directory.with_name(f".{self._directory.name}.part")
        with self._patience.connect() as connection:
            blobs = Blobs(connection, self._patience)
            manifest = decode_manifest(blobs.get_manifest(digest))
            self._patience.call(lambda: _check_out(manifest, blobs, part))
        part.chmod(self._directory.stat().st_mode)
        part.replace(self._directory)

    def keep(self) -> None:
        """Bring the launcher what there is, if it is new."""
        try:
            nodes = walk_results(os.path.realpath(os.fsencode(self._directory)), {}).nodes
            if nodes and nodes != self._kept:
                self._send()
                self._kept = nodes
        except (Dismissed, LeaseLostError):
            self.is_wanted = False
        except (OSError, OffloadError) as error:
            sentence = f"The checkpoint could not be kept: {str(error).rstrip('.')}."
            if sentence != self._told:
                self._notice(sentence)
            self._told = sentence

    def _send(self) -> None:
        made = changed_since(self._directory, Manifest(), {})
        headers = {LEASE_HEADER: self._lease.token}
        body = encode(Saved(digest=made.digest))
        with self._patience.connect() as connection:
            blobs = Blobs(connection, self._patience)
            self._patience.call(lambda: send_results(self._directory, made, blobs))
            self._patience.call(
                lambda: connection.request("POST", f"{PREFIX}/checkpoint", body, headers=headers).read()
            )


class Watch(threading.Thread):
    """Looks now and then at the checkpoint of the attempt under way.

    It sleeps through attempts that are shorter than the time between two looks.

    Args:
        every: seconds between two looks, at least.
    """

    def __init__(self, every: float) -> None:
        super().__init__(name="checkpoint", daemon=True)
        self._every = every
        self._changed = threading.Condition()
        self._checkpoint: Checkpoint | None = None
        self._due = 0.0
        self._is_closing = False

    @contextlib.contextmanager
    def over(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Look while the body runs, and not after it."""
        with self._changed:
            # The thread never sleeps for longer than this, so it need not be woken.
            self._checkpoint, self._due = checkpoint, time.monotonic() + self._every
        try:
            yield
        finally:
            with self._changed:
                self._checkpoint = None

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self.join()

    def run(self) -> None:
        """Look until closed."""
        with self._changed:
            while not self._is_closing:
                if self._checkpoint is None:
                    self._changed.wait(self._every)
                elif (pause := self._due - time.monotonic()) > 0:
                    self._changed.wait(min(pause, self._every))
                else:
                    self._look(self._checkpoint)

    def _look(self, checkpoint: Checkpoint) -> None:
        began = time.monotonic()
        checkpoint.keep()
        now = time.monotonic()
        self._due = now + max(self._every, _SHARE * (now - began))
        if not checkpoint.is_wanted:
            self._checkpoint = None


def _check_out(manifest: Manifest, blobs: Blobs, part: Path) -> None:
    remove_tree(part)
    check_out(manifest, blobs, part)
