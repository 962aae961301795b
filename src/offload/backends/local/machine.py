"""What this machine offers: CPUs, memory and GPUs, as far as this process may use them."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from offload.model.resources import Resources

_CGROUPS: Final = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 1 << 60
"""Bytes; cgroup v1 writes "no limit" as a number near 2^63."""


def look_at_machine(root: Path = _CGROUPS, cgroup: str | None = None) -> Resources:
    """CPUs within affinity and quota, bytes of RAM within cgroup limits, and GPUs."""
    own = _own_cgroups(cgroup)
    cpus = float(len(os.sched_getaffinity(0)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Resources(
        cpus=min([cpus, *_quotas(root, own)]),
        memory=min([memory, *_memory_limits(root, own)]),
        gpus=count_gpus(),
    )


def _own_cgroups(text: str | None) -> dict[str, str]:
    """This process's cgroup path by controller; the key of cgroup v2 is the empty string."""
    if text is None:
        with contextlib.suppress(OSError):
            text = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    found = {}
    for line in (text or "").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _upwards(root: Path, path: str) -> list[Path]:
    """A cgroup's directory and all above it: each of them limits. In a container only the root is there."""
    here = root / path.strip("/")
    return [here, *(one for one in here.parents if one == root or root in one.parents)]


def _quotas(root: Path, own: dict[str, str]) -> list[float]:
    found = []
    for place in _upwards(root, own.get("", "")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (place / "cpu.max").read_text(encoding="ascii").split()
            found.append(int(quota) / int(period))
    for place in _upwards(root / "cpu", own.get("cpu", "")):
        with contextlib.suppress(OSError, ValueError):
            quota_v1 = int((place / "cpu.cfs_quota_us").read_text(encoding="ascii"))
            period_v1 = int((place / "cpu.cfs_period_us").read_text(encoding="ascii"))
            found.append(quota_v1 / period_v1 if quota_v1 > 0 else math.inf)
    return found


def _memory_limits(root: Path, own: dict[str, str]) -> list[int]:
    places = [one / "memory.max" for one in _upwards(root, own.get("", ""))]
    places += [one / "memory.limit_in_bytes" for one in _upwards(root / "memory", own.get("memory", ""))]
    found = []
    for place in places:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(place.read_text(encoding="ascii")))
    return [limit for limit in found if limit < _UNLIMITED]


def count_gpus() -> int:
    """NVIDIA GPUs: those that ``nvidia-smi`` lists, else the device files."""
    if shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                ["nvidia-smi", "--list-gpus"], capture_output=True, timeout=10, check=True, text=True
            )
            return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia[0-9]*"))
