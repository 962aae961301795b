"""A launcher's parts on one event loop, with a clock that the test sets, on both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.clock import SetClock
from fakes.service import MANIFEST, SCRIPT, SNAPSHOT, NotingBackend, spec
from offload.backends.contract import BackendContext
from offload.launcher.clusters import Cluster, Clusters, ClusterSettings
from offload.launcher.content import Content
from offload.launcher.desk import Desk
from offload.launcher.expiry import Expiry
from offload.launcher.hub import Hub
from offload.launcher.janitor import Janitor
from offload.launcher.log_keeper import LogKeeper
from offload.launcher.observer import Observer
from offload.launcher.reconciler import Reconciler
from offload.launcher.tokens import Tokens
from offload.model.ids import RunnerId, pool_id, runner_id
from offload.model.manifest import digest_of
from offload.model.observation import Observation, Phase
from offload.model.outcome import Outcome
from offload.store import jobs, manifests
from offload.store.blobs import BlobFiles
from offload.wire.api import JobView, Submission
from offload.wire.runner_protocol import (
    PROTOCOL_VERSION,
    Completion,
    Hello,
    Lease,
    LeaseRequest,
    LeaseResponse,
)

TTL = 60.0


class Parts:
    """All that a launcher is made of, without anything running."""

    def __init__(self, store, directory) -> None:
        self.store = store
        self.clock = SetClock()
        self.hub = Hub()
        context = BackendContext(cluster="local", directory=directory / "cluster")
        self.backend = NotingBackend(context, [])
        self.cluster = Cluster(ClusterSettings(name="local", backend="noting"), self.backend)
        self.clusters = Clusters([self.cluster], self.clock)
        self.content = Content(BlobFiles(directory / "blobs"), store, self.clock)
        self.logs = LogKeeper(directory / "logs", store, self.hub)
        self.observer = Observer(self.cluster, store, self.hub, self.clock)
        self.desk = Desk(store, self.hub, self.clock, self.logs, ttl=TTL, poll=30.0)
        self.expiry = Expiry(store, self.hub, {"local": self.observer}, self.clock, ttl=TTL)
        self.janitor = Janitor(
            store, self.content, self.logs, self.hub, self.clock, retention=86400.0, grace=3600.0
        )
        # It hears of nothing by itself: it takes a step when the test says so.
        quiet = Hub()
        self.reconciler = Reconciler(
            store, quiet, self.clusters, Tokens(b"secret"), self.clock, address="unix:/launcher"
        )
        quiet._on_job.clear()

    async def submit(self, array: str = "1", key: str = "key", **options: Any) -> JobView:
        self.content.files.put_bytes(digest_of(SCRIPT), SCRIPT)
        await self.store.run(manifests.put, SNAPSHOT, MANIFEST.encode(), MANIFEST, self.clock.now())
        message = Submission(spec=spec(array, **options), key=key)
        view, _ = await self.store.run(jobs.submit, message, "ada", self.clock.now())
        return view

    async def job(self, job: str) -> JobView:
        return await self.store.run(jobs.get, job)

    async def hello(self, job: str, number: int = 0) -> RunnerId:
        runner = runner_id(pool_id(job), number)
        message = Hello(
            runner=runner, protocol=PROTOCOL_VERSION, version="0", hostname="here", cpus=1, memory=1
        )
        await self.desk.hello(message)
        return runner

    async def lease(self, runner: str, free: int = 0, **more: Any) -> LeaseResponse:
        return await self.desk.lease(LeaseRequest(runner=runner, free_slots=free, **more))

    async def granted(self, runner: str) -> Lease:
        (lease,) = (await self.lease(runner, 1)).leases
        return lease

    def seen(self, runner: RunnerId, phase: Phase = Phase.RUNNING, **more: Any) -> Observation:
        return Observation(pool=pool_id(runner.split("-")[0]), runner=runner, phase=phase, **more)


def done(lease: Lease, exit_status: int = 0) -> Completion:
    return Completion(token=lease.token, outcome=Outcome(exit_status=exit_status))


@pytest.fixture
async def parts(store, tmp_path) -> AsyncIterator[Parts]:
    made = Parts(store, tmp_path)
    yield made
    made.hub.stop()
    await made.reconciler.aclose()
    made.content.files.close()
