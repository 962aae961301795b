"""Where the cluster of the tests keeps its things.

What is slow to make is made once on a machine, outside the tree, in the *cache*: programs, packages and
images. What one running cluster knows is in its *state*, and goes with it. There is one cluster on a machine,
because addresses, the container runtime's socket and the control groups of pods exist once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offload-tests"
# Not below /run: that is often mounted without the right to execute, and pods' volumes live here.
STATE = Path("/var/lib/offload-test-cluster")
LOGS = STATE / "logs"
KUBECONFIG = STATE / "admin.kubeconfig"
CONTAINERD_SOCKET = STATE / "containerd.sock"

# The kubelet refuses a loopback address; nothing of this is reachable from outside.
ADDRESS = "10.244.255.1"
API = f"https://{ADDRESS}:6443"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
NODE = "real-0"


def digest(parts: Iterable[bytes | str]) -> str:
    """Sixteen hexadecimal digits that change when one of the parts does."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return whole.hexdigest()[:16]


def files_below(folder: Path, pattern: str = "**/*") -> list[bytes]:
    """Names and contents of files below a folder, for :func:`digest`."""
    found = sorted(
        path for path in folder.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    )
    return [part for path in found for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]
