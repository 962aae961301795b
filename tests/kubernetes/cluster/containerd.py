"""containerd of this cluster alone, and the certain end of everything it ever started.

Images stay in the cache from one cluster to the next. Containers don't: what is left of them, in containerd's
memory, in control groups, as mounts or as network name spaces, is taken away by :func:`purge` and
:func:`sweep`, which don't ask Kubernetes and so also work on half a cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from cluster import processes
from cluster.places import CACHE, CONTAINERD_SOCKET, PODS, STATE
from cluster.processes import RigError, run

PAUSE_IMAGE = "localhost/offload-test-pause:test"
ROOT = CACHE / "containerd"

# Where network plug-ins keep what they did, whoever asked them.
NETWORK_RECORDS = Path("/var/lib/cni/results")

# An image at registry.test is asked of this address, by plain HTTP: tests put registries there that
# misbehave.
REGISTRY = "http://10.244.255.1:5000"

CONFIGURATION = f"""
version = 2
root = "{ROOT}"
state = "{STATE}/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[ttrpc]
  address = "{CONTAINERD_SOCKET}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # The machine may withhold the right to lower an OOM score.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{STATE}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{STATE}/registries"
"""

# Each pod has a cable of its own to this machine, and everything is routed: on a shared bridge, answers of
# Services would pass by the translation of their addresses. Nothing is masqueraded, so no pod reaches the
# world outside.
NETWORK = f"""
{{"cniVersion": "0.4.0", "name": "offload-test", "plugins": [
  {{"type": "ptp", "ipam": {{"type": "host-local", "subnet": "{PODS}", "dataDir": "{STATE}/cni-addresses",
    "routes": [{{"dst": "0.0.0.0/0"}}]}}}}
]}}
"""


def start() -> None:
    """Start containerd with nothing in it but images."""
    _write(STATE / "containerd.toml", CONFIGURATION)
    _write(STATE / "cni" / "10-offload-test.conflist", NETWORK)
    # containerd 1.6 reads no such file without a table of hosts.
    hosts = f'server = "{REGISTRY}"\n[host."{REGISTRY}"]\ncapabilities = ["pull", "resolve"]\n'
    _write(STATE / "registries" / "registry.test" / "hosts.toml", hosts)
    ROOT.mkdir(parents=True, exist_ok=True)
    processes.launch("containerd", ["containerd", "--config", STATE / "containerd.toml"])
    processes.wait_until("containerd", _answers, seconds=60, log="containerd")
    purge()


def ctr(*argv: object, seconds: float = 300) -> str:
    """What ``ctr`` says about the name space of Kubernetes."""
    return run("ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", *argv, seconds=seconds)


def purge() -> None:
    """Take every container from a containerd that answers; images stay."""
    for task in ctr("tasks", "ls", "-q").split():
        with contextlib.suppress(RigError):
            ctr("tasks", "delete", "--force", task, seconds=30)
    for container in ctr("containers", "ls", "-q").split():
        with contextlib.suppress(RigError):
            ctr("containers", "delete", container, seconds=30)


def sweep() -> None:
    """Take away what containers left on this machine, whether or not containerd is there."""
    processes.wait_until("The end of all processes of pods", _kill_all, seconds=30)
    for group in _pod_groups():
        group.rmdir()
    for place in reversed(mounts()):
        run("umount", "--lazy", place)
    if left := mounts():
        raise RigError(f"Still mounted: {', '.join(left)}")
    for link in Path("/var/log/containers").glob("*"):
        if link.readlink().is_relative_to(STATE):
            link.unlink()
    for record in NETWORK_RECORDS.glob("offload-test-*"):
        (NETWORK_RECORDS / f"cni-loopback-{record.name.split('-')[2]}-lo").unlink(missing_ok=True)
        record.unlink()


def _kill_all() -> bool:
    left = [*_shims(), *_in_pods()]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not left


def mounts() -> list[str]:
    """Places of the cluster where something is mounted, in the order of mounting; buildah leaves one too."""
    table = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split()[1] for line in table]
    return [place for place in places if place.startswith((f"{STATE}/", f"{CACHE}/"))]


def _answers() -> bool:
    return processes.succeeds("ctr", "--address", CONTAINERD_SOCKET, "version")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _shims() -> list[int]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = command.read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and os.fsencode(CONTAINERD_SOCKET) in words:
                found.append(int(command.parent.name))
    return found


def _pod_groups() -> list[Path]:
    """Control groups of pods, children first; with cgroup v1 there is a tree for each controller."""
    tops = [*Path("/sys/fs/cgroup").glob("kubepods"), *Path("/sys/fs/cgroup").glob("*/kubepods")]
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def _in_pods() -> list[int]:
    found: set[int] = set()
    for group in _pod_groups():
        with contextlib.suppress(OSError):
            found.update(map(int, (group / "cgroup.procs").read_text().split()))
    return sorted(found)
