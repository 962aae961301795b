"""A whole launcher inside the test's process: the real app on a real Unix socket, the real store, real files.

Only the backend is a stand-in: it notes what it is told, and sees what the test says. ``Service.restart`` is
what a new process would be: everything is opened again from what is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from offload.backends.contract import BackendContext, Capabilities, Diagnosis, Health, Pool, admit_plainly
from offload.errors import OffloadError, PoolReleasedError
from offload.launcher.clusters import ClusterSettings
from offload.launcher.launcher import Config, Launcher
from offload.model.array import parse_array
from offload.model.ids import pool_id, runner_id
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.model.observation import Observation, Phase, Synced
from offload.model.outcome import Outcome
from offload.model.resources import Resources
from offload.model.spec import Spec
from offload.server.app import create_runner_app
from offload.server.endpoint import RunnerEndpoint
from offload.server.listening import unix_socket
from offload.server.process import serve
from offload.wire.api import JobView, Submission
from offload.wire.blob_client import HttpBlobs
from offload.wire.codec import decode, encode
from offload.wire.encoding import encode_bytes
from offload.wire.frames import Frame, Stream
from offload.wire.http import Connection, Response, unix_address
from offload.wire.runner_protocol import (
    LEASE_HEADER,
    PROTOCOL_VERSION,
    Completion,
    Hello,
    Lease,
    LeaseRequest,
    LeaseResponse,
    LogReceipt,
    Welcome,
)

T = TypeVar("T")
SCRIPT = b"print('hello')\n"
MANIFEST = Manifest.of([Entry(b"fit.py", Kind.FILE, 0o644, len(SCRIPT), digest_of(SCRIPT))])
SNAPSHOT = digest_of(MANIFEST.encode())
CAPACITY = Resources(cpus=8, memory=16 << 30, gpus=0)


class NotingBackend:
    """A cluster that starts nothing: it notes what it is told and sees what the test lets it see."""

    def __init__(self, context: BackendContext, listing: list[Observation]) -> None:
        self.context = context
        self.capabilities = Capabilities(enforces={"memory": "not at all"}, session_env=("LANG",))
        self.health = Health(available=True, capacity=CAPACITY, free=CAPACITY)
        self.scaled: list[tuple[Pool, int]] = []
        self.released: list[str] = []
        self.fails: list[Exception] = []
        self.fails_once: dict[str, Exception] = {}
        self.listing = listing
        self._news: asyncio.Queue[Observation | Synced | Exception] = asyncio.Queue()

    def admit(self, spec: Spec, user: str) -> Spec:  # noqa: ARG002  part of the contract
        return admit_plainly(spec, spec.cluster)

    async def diagnose(self) -> Diagnosis:
        return Diagnosis(findings=())

    async def scale(self, pool: Pool, runners: int) -> None:
        if self.fails:
            raise self.fails.pop(0)
        if error := self.fails_once.pop(pool.id, None):
            raise error
        self.scaled.append((pool, runners))

    async def release(self, pool: str) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.released.append(pool)

    def see(self, news: Observation | Synced | Exception) -> None:
        self._news.put_nowait(news)

    async def watch(self) -> AsyncIterator[Observation | Synced]:
        for seen in self.listing:
            yield seen
        yield Synced()
        while True:
            news = await self._news.get()
            if isinstance(news, Exception):
                raise news
            yield news

    async def check(self) -> Health:
        return self.health

    async def aclose(self) -> None:
        pass


class Service:
    """A launcher in a thread of its own."""

    def __init__(self, home: Path, store_url: str | None = None, **options: Any) -> None:
        self.running: list[Observation] = []
        self.loader: Callable[[str, BackendContext], Any] = lambda _, context: NotingBackend(
            context, self.running
        )
        home.mkdir(parents=True, exist_ok=True)
        self.socket = home / "launcher.sock"
        self.address = unix_address(str(self.socket))
        self.config = Config(
            data=home,
            store=store_url or f"sqlite:///{home}/store.sqlite",
            address=self.address,
            settings_file=home / "config.toml",
            listening=(self.address,),
            clusters=(ClusterSettings(name="local", backend="noting"),),
            poll=options.pop("poll", 5.0),
        )
        self.config = replace(self.config, **options)
        self.launcher: Launcher
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def start(self) -> None:
        endpoint = RunnerEndpoint(self.socket.with_suffix(".runners"), self.config.data / "runners.pem")
        self.launcher = Launcher.open(replace(self.config, endpoint=endpoint.open), loader=self.loader)
        endpoint.serve(partial(create_runner_app, self.launcher))
        listening = unix_socket(self.socket)
        started = threading.Event()

        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(started.set)
            await serve(self.launcher, [listening], self.socket, endpoint, signals=())

        def work() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run())

        self._thread = threading.Thread(target=work, name="service")
        self._thread.start()
        assert started.wait(20)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.launcher.end)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def ended(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def restart(self) -> None:
        self.stop()
        self.start()

    def run(self, work: Callable[[], T]) -> T:
        """Do something in the launcher's event loop."""

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    def wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for something in the launcher's event loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(20)

    def backend(self, cluster: str = "local") -> Any:
        return self.launcher.clusters.get(cluster).backend

    @contextmanager
    def connect(self, token: str = "") -> Iterator[Connection]:
        with Connection(self.address, token=token, timeout=20) as connection:
            yield connection

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON that a call answers; errors are raised as the client raises them."""
        with self.connect() as connection:
            raw = None if body is None else json.dumps(body).encode()
            text = connection.request(method, path, raw, headers=headers).read()
            return json.loads(text) if text else None

    def put_snapshot(self) -> None:
        with self.connect() as connection:
            blobs = HttpBlobs(connection, "/v1")
            blobs.put([encode_bytes(digest_of(SCRIPT), SCRIPT)])
            blobs.put_manifest(SNAPSHOT, MANIFEST.encode())

    def submit(self, array: str = "1", key: str = "key", **options: Any) -> JobView:
        self.put_snapshot()
        with self.connect() as connection:
            message = Submission(spec=spec(array, **options), key=key)
            return decode(connection.request("POST", "/v1/jobs", encode(message)).read(), JobView)

    def job(self, job: str) -> JobView:
        with self.connect() as connection:
            return decode(connection.request("GET", f"/v1/jobs/{job}").read(), JobView)

    def runner(self, job: str, number: int = 0) -> TalkingRunner:
        return TalkingRunner(self, job, number)


def spec(array: str = "1", **options: Any) -> Spec:
    """What the tests submit."""
    wanted: dict[str, Any] = {
        "command": ("python3", "fit.py"),
        "name": "fit.py",
        "cluster": "local",
        "snapshot": SNAPSHOT,
        "home": "file://here/work",
        "array": parse_array(array),
    }
    return Spec(**(wanted | options))


class TalkingRunner:
    """Says what a runner says, when the test says so."""

    def __init__(self, service: Service, job: str, number: int = 0) -> None:
        self.pool = pool_id(job)
        self.id = runner_id(self.pool, number)
        self.token = service.launcher.tokens.of_pool(self.pool)
        self._service = service

    def begin(self) -> Welcome:
        """Be seen running by the cluster, now and after every restart, and say hello."""
        seen = Observation(pool=self.pool, runner=self.id, phase=Phase.RUNNING)
        self._service.running.append(seen)
        self._service.run(lambda: self._service.backend().see(seen))
        return self.hello()

    def _post(self, path: str, message: object) -> bytes:
        with self._service.connect(self.token) as connection:
            return connection.request("POST", f"/runner/v1{path}", encode(message)).read()

    def hello(self, protocol: int = PROTOCOL_VERSION) -> Welcome:
        message = Hello(
            runner=self.id, protocol=protocol, version="0", hostname="here", cpus=1, memory=1 << 30
        )
        return decode(self._post("/hello", message), Welcome)

    def lease(
        self,
        free: int = 0,
        holding: tuple[str, ...] = (),
        done: tuple[Completion, ...] = (),
        cancelling: tuple[str, ...] = (),
    ) -> LeaseResponse:
        message = LeaseRequest(
            runner=self.id, free_slots=free, holding=holding, completions=done, cancelling=cancelling
        )
        return decode(self._post("/lease", message), LeaseResponse)

    def complete(self, token: str, exit_status: int = 0) -> LeaseResponse:
        outcome = Outcome(exit_status=exit_status)
        return self.lease(0, (), (Completion(token=token, outcome=outcome),))

    def log(self, lease: Lease, *texts: bytes, first: int = 0) -> LogReceipt:
        body = b"".join(frame(lease, seq, text).encode() for seq, text in enumerate(texts, first))
        return self.log_bytes(lease, body)

    def log_bytes(self, lease: Lease, body: bytes) -> LogReceipt:
        with self._service.connect(self.token) as connection:
            answer = connection.request("POST", "/runner/v1/logs", body, headers={LEASE_HEADER: lease.token})
            return decode(answer.read(), LogReceipt)

    def work(self, exit_status: int = 0) -> None:
        """Say hello, take every task there is, and complete it."""
        self.hello()
        with contextlib.suppress(PoolReleasedError):
            while leases := self.lease(1).leases:
                self.log(leases[0], b"hello\n")
                self.complete(leases[0].token, exit_status)


def frame(lease: Lease, seq: int, text: bytes) -> Frame:
    """A frame of what an attempt prints."""
    return Frame(Stream.STDOUT, lease.attempt, lease.task, seq, 1_000_000 + seq, text)


def caught(call: Callable[[], Any]) -> OffloadError:
    """The error that a call raises."""
    try:
        call()
    except OffloadError as error:
        return error
    raise AssertionError("nothing was raised")


def until(condition: Callable[[], T]) -> T:
    """What a condition gives once it is true; fails after ten seconds."""
    ticks = threading.Event()
    for _ in range(1000):
        if found := condition():
            return found
        ticks.wait(0.01)
    raise AssertionError("it never came true")


def read_all(response: Response) -> bytes:
    """The rest of a body."""
    return b"".join(response.chunks())


async def finished(task: asyncio.Task[Any]) -> bool:
    """Whether a task of the loop finishes without any news, given the time for several turns."""
    return bool((await asyncio.wait([task], timeout=0.2))[0])
