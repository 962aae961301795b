"""K4: one launcher with a thousand runners on simulated nodes, each in its long poll, while pods fail.

The pods are real to everybody but a kubelet: Job controller, scheduler and API server do all their work for
them, and kwok says that they run. In place of the runners that would be in them, :mod:`~benchmarks.pretend`
speaks with the launcher. Then pods fail, ten a second: the lag of the watch is the time from sending that to
the API server until the launcher notes the end of the runner, so it contains the server's own work.
"""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers import kubectl
from benchmarks.pretend import Pretenders
from benchmarks.rig import CLUSTER, Bench, bench, objects, wait_until
from cluster import simulated
from cluster.places import KUBECONFIG

from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.kubeconfig import read_access
from offload.client.api import Api
from offload.client.launcher import Endpoint
from offload.wire.http import unix_address

JOBS, RUNNERS = 20, 50
"""Every job gets its runners: the most for one job is 64."""
NODES = 3
FAILING = 200
A_SECOND = 10
QUIET = 0.2
LISTED = 100
LABEL = "offload.test/bench"


def thousand() -> None:
    """Measure, and print the rows of K4."""
    nodes = [f"bench-{number}" for number in range(NODES)]
    with _simulated(nodes), bench(_settings()) as found:
        _fill(found)
        _submit(found)
        pods = _pods(found)
        with Pretenders(found.callback, _tokens(found, pods)) as crowd:
            wait_until(lambda: crowd.holding == len(pods), seconds=120, what="a lease for every runner")
            _measure(found, pods)


@contextmanager
def _simulated(nodes: list[str]) -> Iterator[None]:
    try:
        for node in nodes:
            simulated.add_node(node, {"cpu": 1000, "memory": "4Ti"}, {LABEL: "yes"})
        yield
    finally:
        for node in nodes:
            simulated.remove_node(node)


def _settings() -> dict[str, Any]:
    return {
        "pod": {"spec": {"nodeSelector": {LABEL: "yes"}, "tolerations": [simulated.TOLERATION]}},
        "max_runners": RUNNERS,
    }


def _fill(found: Bench) -> None:
    """Some jobs to be listed besides."""
    for _ in range(LISTED - JOBS):
        found.person.offload("run", "--cpus", "0.1", "-d", "--", "true")


def _submit(found: Bench) -> None:
    words = ("--on", CLUSTER, "--cpus", "0.1", "--memory", "64Mi", "--array", f"1-{RUNNERS}")
    for _ in range(JOBS):
        found.person.detach(*words, "--", "sleep", "infinity")


def _pods(found: Bench) -> list[dict[str, Any]]:
    began = time.perf_counter()
    pods: list[dict[str, Any]] = []

    def all_run() -> bool:
        pods[:] = [pod for pod in objects(found, "pods") if pod["status"]["phase"] == "Running"]
        return len(pods) == JOBS * RUNNERS

    wait_until(all_run, seconds=180, what="a thousand pods")
    print(f"| {len(pods)} pods run, after | {time.perf_counter() - began:.1f} s | | |", flush=True)
    return pods


def _tokens(found: Bench, pods: list[dict[str, Any]]) -> dict[str, str]:
    secrets = {
        each["metadata"]["labels"]["offload.dev/pool"]: base64.b64decode(each["data"]["token"]).decode()
        for each in objects(found, "secrets")
    }
    return {
        pod["metadata"]["name"].removeprefix("offload-"): secrets[
            pod["metadata"]["labels"]["offload.dev/pool"]
        ]
        for pod in pods
    }


def _measure(found: Bench, pods: list[dict[str, Any]]) -> None:
    chosen = [pod["metadata"]["name"] for pod in pods[:: len(pods) // FAILING]][:FAILING]
    _digest(found, [pod["metadata"]["name"] for pod in pods[-20:]])
    listing, bare = _Listing(found), BareWatch(found)
    with listing, bare:
        time.sleep(2)  # kubectl says nothing when it begins to listen
        sent = asyncio.run(_fail(found, chosen))
        wait_until(lambda: sent.keys() <= _noted(found).keys(), seconds=60, what="every end")
        wait_until(lambda: sent.keys() <= bare.heard.keys(), seconds=60, what="every end in the watch")
    others = [1000 * (heard - sent[name]) for name, heard in bare.heard.items() if name in sent]
    lags = [1000 * (noted - sent[name]) for name, noted in _noted(found).items() if name in sent]
    resident, highest = _memory(found.launcher())
    print(
        f"| watch lag, p50 / p99 of {len(lags)} | {_median(lags):.0f} / {_p99(lags):.0f} ms "
        f"| kubectl get --watch: {_median(others):.0f} / {_p99(others):.0f} ms "
        f"| {_median(lags) / _median(others):.2f} |"
    )
    took = listing.took
    print(f"| list of {LISTED} jobs meanwhile, p50 / p99 | {_median(took):.0f} / {_p99(took):.0f} ms | | |")
    print(f"| launcher, resident (at most) | {resident:.0f} MB ({highest:.0f} MB) | | |", flush=True)


def _digest(found: Bench, spare: list[str]) -> None:
    """Wait until the launcher has taken in what the start of so many brought, to measure what comes after."""
    began = time.perf_counter()
    for pod in spare:
        sent = asyncio.run(_fail(found, [pod]))
        wait_until(lambda pod=pod: pod in _noted(found), seconds=120, what=f"the end of {pod}")
        if _noted(found)[pod] - sent[pod] < QUIET:
            print(f"| all of it is digested, after another | {time.perf_counter() - began:.1f} s | | |")
            return
    raise TimeoutError(f"the lag never fell below {QUIET} s")


async def _fail(found: Bench, pods: list[str]) -> dict[str, float]:
    """Let pods fail, and when each was sent to the API server."""
    client = Client(read_access(KUBECONFIG, None, {}))
    sent: dict[str, float] = {}
    failed = {"status": {"phase": "Failed", "reason": "Lost", "message": "for the benchmark"}}
    try:
        for pod in pods:
            sent[pod] = time.time()
            await client.merge(f"/api/v1/namespaces/{found.namespace}/pods/{pod}/status", failed)
            await asyncio.sleep(max(0.0, 1 / A_SECOND - (time.time() - sent[pod])))
    finally:
        await client.aclose()
    return sent


def _noted(found: Bench) -> dict[str, float]:
    """When the launcher heard that a pod's runner had ended."""
    with sqlite3.connect(f"file:{found.home / 'store.sqlite'}?mode=ro", uri=True) as store:
        ended = store.execute("SELECT id, ended FROM runners WHERE ended IS NOT NULL").fetchall()
    store.close()
    return {f"offload-{runner}": at for runner, at in ended}


class BareWatch(threading.Thread):
    """``kubectl get pods --watch``, and when it told that a pod had failed: what can't be faster here."""

    def __init__(self, found: Bench) -> None:
        super().__init__()
        columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase"
        words = [*kubectl(found), "get", "pods", "--watch-only", "--no-headers", "-o", columns]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.heard: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self.join()
        self._process.wait()

    def run(self) -> None:
        """Listen until it ends."""
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                name, phase = line.split()
                if phase == "Failed":
                    self.heard.setdefault(name, time.time())


class _Listing(threading.Thread):
    """Lists jobs again and again, a few times a second, while the body runs."""

    def __init__(self, found: Bench) -> None:
        super().__init__()
        self._api = Api(Endpoint(address=unix_address(str(found.socket))))
        self._over = threading.Event()
        self.took: list[float] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """List until told to stop."""
        with self._api as api:
            while not self._over.wait(0.1):
                began = time.perf_counter()
                assert len(api.jobs(limit=LISTED).jobs) == LISTED
                self.took.append(1000 * (time.perf_counter() - began))


def _memory(launcher: int) -> tuple[float, float]:
    """Resident memory now and at most, in MB."""
    lines = Path(f"/proc/{launcher}/status").read_text().splitlines()
    size = {name: words for name, _, words in (line.partition(":") for line in lines)}
    return int(size["VmRSS"].split()[0]) / 1000, int(size["VmHWM"].split()[0]) / 1000


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]
