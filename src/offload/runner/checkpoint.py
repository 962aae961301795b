"""What a task saves for its next attempt, kept with the launcher, so that any runner can go on from it.

The directory ``$OFFLOAD_CHECKPOINT`` is looked at now and then while the script runs, because a runner that
is lost says nothing more, and once after the script, when the attempt is no success. What the script is just
writing isn't taken; what was kept before stays. Where the directory itself has outlived the last attempt, it
is newer than what the launcher has, and is left as it is.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
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
from offload.wire.http import Connection
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
        every: seconds between two looks, at least.
        notice: told in a sentence what couldn't be kept.
    """

    def __init__(
        self,
        directory: Path,
        lease: Lease,
        patience: Patience,
        *,
        every: float,
        notice: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._lease = lease
        self._patience = patience
        self._every = every
        self._notice = notice
        self._kept: tuple[Node, ...] = ()
        self._told = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, name="checkpoint", daemon=True)

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

    def start(self) -> None:
        """Look now and then from here on."""
        self._thread.start()

    def finish(self, *, keep: bool) -> None:
        """Look no more; with ``keep`` once more at what there is."""
        self._over.set()
        self._thread.join()
        if keep:
            with self._patience.connect() as connection:
                self._keep(connection)

    def _look_again(self) -> None:
        pause = self._every
        while not self._over.wait(pause):
            began = time.monotonic()
            with self._patience.connect() as connection:
                self._keep(connection)
            pause = max(self._every, _SHARE * (time.monotonic() - began))

    def _keep(self, connection: Connection) -> None:
        try:
            nodes = walk_results(os.path.realpath(os.fsencode(self._directory)), {}).nodes
            if nodes and nodes != self._kept:
                self._send(connection)
                self._kept = nodes
        except (Dismissed, LeaseLostError):
            self._over.set()
        except (OSError, OffloadError) as error:
            sentence = f"The checkpoint could not be kept: {str(error).rstrip('.')}."
            if sentence != self._told:
                self._notice(sentence)
            self._told = sentence

    def _send(self, connection: Connection) -> None:
        made = changed_since(self._directory, Manifest(), {})
        blobs = Blobs(connection, self._patience)
        self._patience.call(lambda: send_results(self._directory, made, blobs))
        headers = {LEASE_HEADER: self._lease.token}
        body = encode(Saved(digest=made.digest))
        self._patience.call(
            lambda: connection.request("POST", f"{PREFIX}/checkpoint", body, headers=headers).read()
        )


def _check_out(manifest: Manifest, blobs: Blobs, part: Path) -> None:
    remove_tree(part)
    check_out(manifest, blobs, part)
