"""The real node: its address, its kubelet, and kube-proxy.

There is no dummy interface in every kernel; a bridge without ports carries the address of the API server and
the node.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from cluster.control_plane import Component, fetches, kubeconfig_of
from cluster.places import ADDRESS, CONTAINERD_SOCKET, NODE, PODS, STATE
from cluster.processes import RigError, run, succeeds

BRIDGE = "offload-test0"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# What this machine did before with packets for others; the network plug-in changes it.
FORWARDED = STATE / "ip_forward"

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": ADDRESS,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
    # Nobody listens there, so that looking up a name fails at once.
    "clusterDNS": [ADDRESS],
    "clusterDomain": "cluster.local",
    "cgroupDriver": "cgroupfs",
    "failCgroupV1": False,
    "failSwapOn": False,
    # The machine may withhold the right to lower an OOM score.
    "oomScoreAdj": 0,
    "makeIPTablesUtilChains": False,
    "podLogsDir": f"{STATE}/pod-logs",
    "volumePluginDir": f"{STATE}/volume-plugins",
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
    "serializeImagePulls": False,
    "nodeLeaseDurationSeconds": 12,
    "nodeStatusUpdateFrequency": "4s",
    "shutdownGracePeriod": "0s",
}

PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "nftables",
    "clusterCIDR": PODS,
    "hostnameOverride": NODE,
    "bindAddress": ADDRESS,
    "healthzBindAddress": "127.0.0.1:10256",
    "metricsBindAddress": "127.0.0.1:10249",
    "conntrack": {"maxPerCore": 0},
}


def open_network() -> None:
    """Give the cluster its address on this machine."""
    if not FORWARDED.exists():
        FORWARDED.write_text(FORWARDING.read_text())
    if not succeeds("ip", "link", "show", BRIDGE):
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "replace", f"{ADDRESS}/32", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def close_network() -> None:
    """Take the address away, with the tables of kube-proxy."""
    with contextlib.suppress(RigError):
        run("ip", "link", "delete", BRIDGE)
    for family in ("ip", "ip6"):
        with contextlib.suppress(RigError):
            run("nft", "delete", "table", family, "kube-proxy")
    if FORWARDED.exists():
        FORWARDING.write_text(FORWARDED.read_text())


def kubelet() -> Component:
    """The kubelet of the real node."""
    (STATE / "kubelet.json").write_text(json.dumps(KUBELET))
    arguments = (
        f"--config={STATE / 'kubelet.json'}",
        f"--kubeconfig={kubeconfig_of('kubelet')}",
        f"--root-dir={STATE / 'kubelet'}",
        f"--cert-dir={STATE / 'pki' / 'kubelet'}",
        f"--hostname-override={NODE}",
        f"--node-ip={ADDRESS}",
        "--node-labels=offload.test/real=yes",
    )
    return Component("kubelet", arguments, fetches("http://127.0.0.1:10248/healthz"))


def proxy() -> Component:
    """What makes Services' addresses work."""
    configuration = {**PROXY, "clientConnection": {"kubeconfig": str(kubeconfig_of("kube-proxy"))}}
    (STATE / "kube-proxy.json").write_text(json.dumps(configuration))
    return Component(
        "kube-proxy", (f"--config={STATE / 'kube-proxy.json'}",), fetches("http://127.0.0.1:10256/healthz")
    )
