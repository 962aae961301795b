"""A cluster as a whole: up, down, and broken in the ways that tests want.

``up`` may be asked again at any time. A cluster that works is left alone. What somebody stopped of it is
started again, after the tests that are about its absence. Half a cluster, or one of another version, is taken
away first. ``down`` leaves the cache and nothing else: no process, mount, bridge, table or control group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster import access, containerd, control_plane, images, node, processes, programs, simulated
from cluster.control_plane import Component
from cluster.places import CACHE, KUBECONFIG, NODE, STATE
from cluster.processes import RigError, say, step

# In the order of starting.
COMPONENTS: dict[str, Callable[[], Component]] = {
    "etcd": control_plane.etcd,
    "kube-apiserver": control_plane.api_server,
    "kube-controller-manager": control_plane.controller_manager,
    "kube-scheduler": control_plane.scheduler,
    "kubelet": node.kubelet,
    "kube-proxy": node.proxy,
    "kwok": simulated.kwok,
}
FINISHED = STATE / "finished"


@contextlib.contextmanager
def _holding(name: str, how: int) -> Iterator[None]:
    """Hold a lock that ends with its holder: ``change`` of the whole, or ``fault`` of a part."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, how)
        yield


def missing() -> list[str]:
    """The components that should be running and aren't."""
    return [name for name in ("containerd", *COMPONENTS) if processes.pid_of(name) is None]


def _is_there() -> bool:
    """Whether there is a cluster as the tree describes it, though parts of it may be stopped."""
    whole = FINISHED.exists() and FINISHED.read_text() == programs.kubernetes_key()
    return whole and processes.pid_of("containerd") is not None


def up() -> bool:
    """Bring the cluster up with the images of the tree; False when it was up already."""
    _check_machine()
    with _holding("change", fcntl.LOCK_EX):
        there = _is_there()
        if there:
            _mend()
        else:
            _start_anew()
        _bring_images()
        return not there


def _mend() -> None:
    if missing():
        with _holding("fault", fcntl.LOCK_EX):
            for name in missing():
                with step(f"Starting {name} again"):
                    start(name)


def _start_anew() -> None:
    if STATE.exists():
        with step("Taking away what is left of another cluster"):
            _down()
    programs.kubernetes()
    programs.kwok()
    _start()


def bring_images() -> list[str]:
    """Build and import those images whose inputs changed; their names."""
    with _holding("change", fcntl.LOCK_EX):
        return _bring_images()


def _bring_images() -> list[str]:
    return [image.name for image in images.IMAGES if images.bring(image)]


def _start() -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    node.open_network()
    with step("Starting containerd"):
        containerd.start()
    images.bring(images.PAUSE)
    control_plane.write_secrets()
    with step("Starting Kubernetes"):
        for name, create in COMPONENTS.items():
            create().start()
            if name == "etcd":
                control_plane.age_store()
        control_plane.kubeconfig_of("admin")
        processes.wait_until("The node's registration", _registered, seconds=60, log="kubelet")
        access.kubectl("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=60s", seconds=90)
        processes.wait_until("The default account", _has_account, seconds=60, log="kube-controller-manager")
        simulated.add_gpu_node()
    FINISHED.write_text(programs.kubernetes_key())


def _registered() -> bool:
    return access.kubectl("get", "nodes", "--output=name").find(f"node/{NODE}") >= 0


def _has_account() -> bool:
    return "serviceaccount/default" in access.kubectl("get", "serviceaccounts", "--output=name")


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise RigError(
            "Only root can make a cluster on this machine. With KUBECONFIG set, tests use that cluster."
        )
    needed = ("containerd", "ctr", "runc", "nft", "ip", "buildah", "debootstrap", "openssl", "gcc")
    lost = [program for program in needed if not shutil.which(program)]
    if not Path("/usr/lib/cni/ptp").exists():
        lost.append("containernetworking-plugins")
    if lost:
        raise RigError(
            f"This machine lacks {', '.join(lost)}. `make test-kubernetes` installs what is needed."
        )


def down() -> bool:
    """Take the cluster away; False when there was none."""
    with _holding("change", fcntl.LOCK_EX):
        there = STATE.exists()
        if there:
            _down()
        return there


def _down() -> None:
    """Those that would start pods again end first, pods before the runtime that knows them."""
    for name in ("kwok", "kube-scheduler", "kube-controller-manager", "kubelet"):
        processes.end(name, seconds=1)
    if processes.pid_of("containerd") is not None:
        with contextlib.suppress(RigError):
            containerd.purge()
    for name in processes.names():
        processes.end(name, seconds=1)
    containerd.sweep()
    node.close_network()
    shutil.rmtree(STATE)


def stop(name: str) -> None:
    """End a component, as a crash or an upgrade does; :func:`start` brings it back with all that it knew."""
    processes.end(_known(name))


def start(name: str) -> None:
    """Start a component and wait until it works."""
    COMPONENTS[_known(name)]().start()


def pause(name: str) -> None:
    """Let a component hang: connections stay open, and nobody answers."""
    processes.tell(_known(name), signal.SIGSTOP)


def resume(name: str) -> None:
    """Let a component go on."""
    processes.tell(_known(name), signal.SIGCONT)


@contextlib.contextmanager
def stopped(name: str) -> Iterator[None]:
    """A component is away meanwhile, and works again afterwards."""
    with _holding("fault", fcntl.LOCK_SH):
        stop(name)
        try:
            yield
        finally:
            start(name)


@contextlib.contextmanager
def paused(name: str) -> Iterator[None]:
    """A component hangs meanwhile, and works again afterwards."""
    with _holding("fault", fcntl.LOCK_SH):
        pause(name)
        try:
            yield
        finally:
            resume(name)
            start(name)


def _known(name: str) -> str:
    if name not in COMPONENTS:
        raise RigError(f"There is no component {name}. There are {', '.join(COMPONENTS)}.")
    return name


def how_to_use() -> str:
    """What a person types next."""
    words = [
        f"export KUBECONFIG={KUBECONFIG}",
        f"export PATH={programs.kubectl().parent}:$PATH",
        "kubectl get nodes",
    ]
    return "\n".join(words)


def tell_status() -> bool:
    """Say what runs; whether all does."""
    if not STATE.exists():
        say("There is no cluster. `up` brings one up.")
        return False
    for name in ("containerd", *COMPONENTS):
        pid = processes.pid_of(name)
        say(f"{name:25} {f'runs as {pid}' if pid else 'does not run'}")
    return _is_there() and not missing()
