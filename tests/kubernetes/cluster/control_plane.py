"""etcd, the API server, the controller manager and the scheduler; who may ask them, and with which secrets.

Everything is made anew for each cluster but the programs. The API server makes its own serving certificate,
which so is the authority that kubeconfigs name. A second authority signs client certificates for tests.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from cluster import processes, programs
from cluster.places import ADDRESS, API, KUBECONFIG, PODS, SERVICES, STATE
from cluster.processes import run

PKI = STATE / "pki"
AUDIT = STATE / "logs" / "audit.log"
MASTERS = "system:masters"
USERS = ("admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kwok")

# Who asked what, without contents: tests count requests.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", *USERS[1:]]},
        {"level": "None", "userGroups": ["system:nodes"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Component:
    """A process of the cluster: how it is started, and how one sees that it works."""

    name: str
    arguments: tuple[object, ...]
    healthy: Callable[[], bool]
    seconds: float = 60
    program: Callable[[], Path] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start it unless it is alive, and wait until it works."""
        path = self.program() if self.program else programs.kubernetes() / self.name
        processes.launch(self.name, [path, *self.arguments], self.environment)
        processes.wait_until(self.name, self._works, seconds=self.seconds, log=self.name)

    def _works(self) -> bool:
        if processes.pid_of(self.name) is None:
            raise processes.RigError(f"{self.name} ended.{processes.tail(self.name)}")
        return self.healthy()


def fetches(url: str) -> Callable[[], bool]:
    """Whether an address answers with success to people whom it doesn't know."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2, context=ssl._create_unverified_context()) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    return answers


def write_secrets() -> None:
    """Make keys and tokens, unless this cluster has them."""
    if (PKI / "tokens.csv").exists():
        return
    PKI.mkdir(parents=True, exist_ok=True, mode=0o700)
    run("openssl", "genrsa", "-out", PKI / "accounts.key", "2048")
    request = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=offload-test",
    )
    run(*request, "-keyout", PKI / "clients.key", "-out", PKI / "clients.crt")
    (STATE / "audit.json").write_text(json.dumps(AUDIT_POLICY))
    rows = [f'{secrets.token_hex(16)},{user},{user},"{MASTERS}"\n' for user in USERS]
    (PKI / "tokens.csv").write_text("".join(rows))


def _write_kubeconfig(path: Path, token: str) -> Path:
    """A kubeconfig for the bearer of a token, which is JSON, and so YAML."""
    authority = base64.b64encode((PKI / "serving" / "apiserver.crt").read_bytes()).decode()
    context = {"cluster": "test", "user": "test", "namespace": "default"}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": API, "certificate-authority-data": authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


def kubeconfig_of(user: str) -> Path:
    """The kubeconfig of one of :data:`USERS`."""
    tokens = {row.split(",")[1]: row.split(",")[0] for row in (PKI / "tokens.csv").read_text().splitlines()}
    path = KUBECONFIG if user == "admin" else STATE / f"{user}.kubeconfig"
    return path if path.exists() else _write_kubeconfig(path, tokens[user])


def client_certificate(folder: Path, user: str, *, days: int = 1) -> tuple[Path, Path]:
    """A client certificate that the API server accepts, and its key, for a user without any rights."""
    key, request, certificate = (folder / f"{user}.{end}" for end in ("key", "csr", "crt"))
    run(
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        f"/CN={user}",
        "-keyout",
        key,
        "-out",
        request,
    )
    signer = ("-CA", PKI / "clients.crt", "-CAkey", PKI / "clients.key", "-CAcreateserial")
    run("openssl", "x509", "-req", "-in", request, *signer, "-days", days, "-out", certificate)
    return certificate, key


def etcd() -> Component:
    """The store of the API server; on this machine's disk, but not synced to it."""
    url = f"http://{ADDRESS}:2379"
    peers = f"http://{ADDRESS}:2380"
    arguments = ("--data-dir", STATE / "etcd", "--unsafe-no-fsync", "--listen-client-urls", url)
    member = (
        "--advertise-client-urls",
        url,
        "--listen-peer-urls",
        peers,
        "--initial-advertise-peer-urls",
        peers,
    )
    cluster = ("--initial-cluster", f"default={peers}", "--log-level", "warn")
    return Component("etcd", (*arguments, *member, *cluster), fetches(f"{url}/health"))


def age_store() -> None:
    """Let the store have a past before the API server looks: versions too old to ask for."""
    key = base64.b64encode(b"past").decode()
    body = json.dumps({"key": key, "value": key}).encode()
    for _ in range(5):
        with urllib.request.urlopen(f"http://{ADDRESS}:2379/v3/kv/put", body, timeout=10):
            pass


def api_server() -> Component:
    """The API server; pods leave a lost node after 20 s instead of five minutes."""
    arguments = (
        f"--etcd-servers=http://{ADDRESS}:2379",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        "--secure-port=6443",
        f"--cert-dir={PKI / 'serving'}",
        f"--client-ca-file={PKI / 'clients.crt'}",
        f"--token-auth-file={PKI / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICES}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI / 'accounts.key'}",
        f"--service-account-signing-key-file={PKI / 'accounts.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--default-not-ready-toleration-seconds=20",
        "--default-unreachable-toleration-seconds=20",
        f"--audit-policy-file={STATE / 'audit.json'}",
        f"--audit-log-path={AUDIT}",
        "--audit-log-maxsize=200",
    )
    return Component("kube-apiserver", arguments, fetches(f"{API}/readyz"), seconds=120)


def controller_manager() -> Component:
    """The controllers; a silent node is lost after 20 s, and a thousand pods are made in seconds."""
    arguments = (
        f"--kubeconfig={kubeconfig_of('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        f"--cluster-cidr={PODS}",
        "--allocate-node-cidrs=false",
        f"--root-ca-file={PKI / 'serving' / 'apiserver.crt'}",
        f"--service-account-private-key-file={PKI / 'accounts.key'}",
        "--use-service-account-credentials=false",
        "--node-monitor-grace-period=20s",
        "--node-monitor-period=2s",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )
    return Component("kube-controller-manager", arguments, fetches("https://127.0.0.1:10257/healthz"))


def scheduler() -> Component:
    """The scheduler."""
    arguments = (
        f"--kubeconfig={kubeconfig_of('kube-scheduler')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )
    return Component("kube-scheduler", arguments, fetches("https://127.0.0.1:10259/healthz"))
