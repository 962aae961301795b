"""What a local cluster remembers, as small files: the launcher may die at any moment and start again.

::

    pools/<pool>/wish.json          how many runners are wanted, and all that starting one needs
    pools/<pool>/token              0600
    pools/<pool>/checkpoints/       kept between attempts
    pools/<pool>/runners/<n>/       private to the runner: lock, runner.json, ended, its work
    pools/<pool>/runners/<n>/admitted.json    when it was admitted, and its GPUs
    pools/<pool>/runners/<n>/over.json        how it was seen to end; no process of it is left

Every file is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from offload.errors import ProtocolError
from offload.model.observation import Phase
from offload.model.reasons import Reason
from offload.model.resources import Resources
from offload.wire.codec import T, decode, encode
from offload.wire.trees import remove_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A pool and how many runners it should have.

    Attributes:
        pool: its id.
        user: whose job it is.
        resources: of one runner.
        launcher: where runners dial.
        submitted: its place in the line.
        grace: seconds a runner gets to end.
        wanted: runners that should be there; those that ended aren't counted.
        released: everything of the pool is to go.
    """

    pool: str
    user: str
    resources: Resources
    launcher: str
    submitted: float
    grace: float
    wanted: int
    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A runner was given its share of the machine."""

    at: float
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A runner ended in order (``ended``) or without a word (``gone``)."""

    at: float
    phase: Phase
    reason: Reason | None = None


class PoolFiles:
    """The files of one pool."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.token = directory / "token"
        self.checkpoints = directory / "checkpoints"

    def runner(self, number: int) -> Path:
        """The private directory of a runner."""
        return self.directory / "runners" / str(number)

    def numbers(self) -> list[int]:
        """Runners that were ever admitted."""
        try:
            names = os.listdir(self.directory / "runners")
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdigit())

    def wish(self) -> Wish | None:
        """What was last wished."""
        return _read(self.directory / "wish.json", Wish)

    def write_wish(self, wish: Wish, token: str) -> None:
        """Remember the wish; the token first, so that a wish is never without one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        _write(self.token, token.encode("ascii"))
        _write(self.directory / "wish.json", encode(wish))

    def mark_released(self, wish: Wish) -> None:
        """Remember that the pool is to go."""
        _write(self.directory / "wish.json", encode(wish))

    def admitted(self, number: int) -> Admitted | None:
        """The runner's share."""
        return _read(self.runner(number) / "admitted.json", Admitted)

    def write_admitted(self, number: int, admitted: Admitted) -> None:
        """Give a runner its directory and its share."""
        self.runner(number).mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.runner(number) / "admitted.json", encode(admitted))

    def over(self, number: int) -> Over | None:
        """How the runner ended, if it did."""
        return _read(self.runner(number) / "over.json", Over)

    def write_over(self, number: int, over: Over) -> None:
        """Remember how it ended, and remove its work."""
        _write(self.runner(number) / "over.json", encode(over))
        for one in self.runner(number).iterdir():
            if one.is_dir():
                remove_tree(one)

    def remove(self) -> None:
        """Forget the pool; the wish goes last, so that an interrupted removal is taken up again."""
        for one in (self.directory / "runners", self.checkpoints):
            remove_tree(one)
        self.token.unlink(missing_ok=True)
        remove_tree(self.directory)


def all_pools(directory: Path) -> Iterator[PoolFiles]:
    """Every pool that has files."""
    if (directory / "pools").is_dir():
        for path in sorted((directory / "pools").iterdir()):
            yield PoolFiles(path)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return decode(path.read_bytes(), kind)
    except (FileNotFoundError, ProtocolError):
        return None


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    part.replace(path)
