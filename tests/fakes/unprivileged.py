"""Running Python where it is bound: by file modes, which root ignores, or by a small disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def run_unprivileged(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    return subprocess.run(
        [*user, sys.executable, "-B", "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'tests'}{os.pathsep}{_ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def run_on_a_full_disk(code: str, *args: object, megabytes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run with a small file system of its own at ``/mnt``, seen by this process alone."""
    script = f'mount -t tmpfs -o size={megabytes}m full /mnt && exec "$@"'
    return subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
            *(sys.executable, "-B", "-c", code, *map(str, args)),
        ],
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'tests'}{os.pathsep}{_ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )
