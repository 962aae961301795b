"""A person with a small disk of their own below a directory: a real file system that really fills up."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakes.person import Person

_MOUNT = 'mount -t tmpfs -o "size=$1,mode=700" small "$2" && echo mounted && exec sleep infinity'


class SmallDiskPerson(Person):
    """Runs ``offload`` where ``disk``, a directory, is a file system of a few megabytes.

    Only processes that this person starts see it, so no rights are needed but those of a user namespace.
    """

    def __init__(self, root: Path, disk: Path, megabytes: int) -> None:
        super().__init__(root)
        disk.mkdir(parents=True, exist_ok=True, mode=0o700)
        (root / "offload").chmod(0o700)
        namespace = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh")
        # It carries the person's HOME, so it ends with everything else of the person.
        self._holder = subprocess.Popen(
            [*namespace, f"{megabytes}m", str(disk)], env=self.env, stdout=subprocess.PIPE
        )
        assert self._holder.stdout.readline() == b"mounted\n"
        self.disk = Path(f"/proc/{self._holder.pid}/root{disk}")

    def start(self, *words: str, cwd: Path | None = None, **options: Any) -> subprocess.Popen[bytes]:
        enter = ("nsenter", f"--target={self._holder.pid}", "--user", "--mount", "--preserve-credentials")
        self.prefix = (*enter, f"--wdns={cwd or self.work}")
        return super().start(*words, cwd=cwd, **options)

    def leave(self) -> None:
        super().leave()
        self._holder.wait()
        self._holder.stdout.close()


@contextlib.contextmanager
def with_a_small_disk(root: Path, below: str, *, megabytes: int) -> Iterator[SmallDiskPerson]:
    """A person whose ``OFFLOAD_HOME/below`` is a disk of its own; ``person.disk`` shows it from outside."""
    person = SmallDiskPerson(root, root / "offload" / below, megabytes)
    try:
        yield person
    finally:
        person.leave()
