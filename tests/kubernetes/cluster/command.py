"""A real Kubernetes on a Debian machine, as root, without Docker and without a registry.

    python tests/kubernetes/cluster up        bring it up, with the images of the tests; says how to use it
    python tests/kubernetes/cluster images    build and import the images whose sources changed
    python tests/kubernetes/cluster status    what runs
    python tests/kubernetes/cluster down      take everything away but the cache
    python tests/kubernetes/cluster stop|start|pause|resume COMPONENT

etcd, the API server, the controller manager, the scheduler, the kubelet and kube-proxy are the real ones,
built from their Go modules; containerd, runc and the network plug-ins are Debian's. So what tests see is what
users see: the words of the real scheduler, the limits of real control groups, real admission. Simulated nodes
stand beside the real one for what one machine doesn't have: GPUs, and room for a thousand pods.
"""

from __future__ import annotations

import sys

from cluster import control
from cluster.processes import RigError, say


def _up() -> int:
    fresh = control.up()
    say("The cluster is up." if fresh else "The cluster was up already.")
    sys.stdout.write(control.how_to_use() + "\n")
    return 0


def _images() -> int:
    names = control.bring_images()
    say(f"New: {', '.join(names)}." if names else "All images are as the sources say.")
    return 0


def _down() -> int:
    say("The cluster is gone." if control.down() else "There is no cluster.")
    return 0


def _status() -> int:
    return 0 if control.tell_status() else 1


WHOLE = {"up": _up, "images": _images, "status": _status, "down": _down}
PARTS = {"stop": control.stop, "start": control.start, "pause": control.pause, "resume": control.resume}


def main(words: list[str]) -> int:
    """Do what the words say; the exit status."""
    try:
        match words:
            case [verb] if verb in WHOLE:
                return WHOLE[verb]()
            case [verb, component] if verb in PARTS:
                PARTS[verb](component)
                return 0
    except RigError as error:
        say(str(error))
        return 1
    say(str(__doc__))
    return 2
