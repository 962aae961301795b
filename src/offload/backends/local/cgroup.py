"""A delegated cgroup v2, where this machine has one: the kernel keeps memory limits and ends whole trees.

Delegated means that this user may make cgroups below a directory whose ``memory`` controller is on, as
systemd arranges for user services. Each runner gets one below it; the runner makes one for each task in that.
Where nothing is delegated (an old hierarchy, many containers), process trees are watched instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_SELF: Final = Path("/proc/self/cgroup")


class Delegation:
    """A directory of cgroups that belongs to one local cluster.

    Attributes:
        directory: holds one cgroup per runner.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, runner: str) -> Path:
        """The cgroup of a runner, ready for cgroups of tasks; the same again when it is there.

        Raises:
            OSError: the kernel refuses.
        """
        place = self.directory / runner
        place.mkdir(exist_ok=True)
        _enable_memory(place)
        return place

    def remove(self, runner: str) -> None:
        """End everything in a runner's cgroup and remove it; what isn't there is no error."""
        place = self.directory / runner
        with contextlib.suppress(OSError):
            _write(place / "cgroup.kill", "1")
        for one in (*(path for path in _children(place)), place):
            with contextlib.suppress(OSError):
                one.rmdir()


def find_delegation(state: Path, *, root: Path = ROOT, own: str | None = None) -> Delegation | None:
    """The delegated cgroup for the cluster whose state is in ``state``; None when there is none.

    ``own`` is the text of ``/proc/self/cgroup``. The highest directory that this process may write is used,
    because the nearest ones hold processes, and a cgroup with processes can't have controlled children.
    """
    own = _SELF.read_text(encoding="utf-8") if own is None else own
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::/")), None)
    if path is None:
        return None
    here = root / path.strip("/")
    candidates = [one for one in (here, *here.parents) if one == root or root in one.parents]
    name = "offload-" + hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:12]
    for place in reversed(candidates):
        if os.access(place, os.W_OK) and (found := _try(place, name)):
            return found
    return None


def _try(place: Path, name: str) -> Delegation | None:
    try:
        _enable_memory(place)
        directory = place / name
        directory.mkdir(exist_ok=True)
        _enable_memory(directory)
    except OSError:
        return None
    return Delegation(directory)


def _enable_memory(place: Path) -> None:
    control = place / "cgroup.subtree_control"
    if "memory" not in control.read_text(encoding="ascii").split():
        _write(control, "+memory")


def _children(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir()]
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
