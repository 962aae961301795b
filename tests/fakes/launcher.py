"""A launcher reduced to the runner protocol, on a real Unix socket: what runners are tested against.

It keeps what a runner sends, hands out the tasks it was given, and can be away for a while.
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

from offload.errors import (
    BlobMissingError,
    LeaseLostError,
    OffloadError,
    PoolReleasedError,
    UnauthorizedError,
)
from offload.model.blobs import Blob
from offload.model.manifest import Entry, Kind, Manifest, decode_manifest, digest_of
from offload.wire.codec import decode, encode
from offload.wire.content import Digests
from offload.wire.encoding import decoded, encode_bytes
from offload.wire.frames import Frame, Stream, decode_frames
from offload.wire.http import unix_address
from offload.wire.packs import decode_pack, encode_pack
from offload.wire.runner_protocol import (
    LEASE_HEADER,
    Completion,
    Hello,
    Lease,
    LeaseRequest,
    LeaseResponse,
    LogReceipt,
    Order,
    OrderKind,
    Saved,
    Welcome,
)

TOKEN = "pool-token"


class FakeLauncher:
    """Tasks of one job for any number of runners.

    Attributes:
        completions: by lease token, in the order in which they came.
        returned: leases that were given back.
        batch: leases that a runner may hold.
        frames: by (task, attempt).
        saved: manifests of checkpoints, by lease token.
        requests: paths of all calls.
    """

    def __init__(self, socket: Path, *, command: tuple[str, ...] = ("true",), **settings: Any) -> None:
        self.socket = socket
        self.address = unix_address(str(socket))
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.completions: dict[str, Completion] = {}
        self.frames: dict[tuple[int, int], list[Frame]] = {}
        self.arrivals: dict[tuple[int, int], list[float]] = {}
        self.requests: list[str] = []
        self.hellos: list[Hello] = []
        self.runners_of: dict[str, str] = {}
        self.pending: list[Lease] = []
        self.returned: list[Lease] = []
        self.batch = 1
        self.leased: dict[str, tuple[str, Lease]] = {}
        self.orders: dict[str, OrderKind] = {}
        self.told: list[Order] = []
        self.lost: set[str] = set()
        self.saved: dict[str, list[str]] = {}
        self.released = False
        self.stopping = False
        self.settle = True
        self.refuse: Callable[[str], OffloadError | None] = lambda _: None
        self.changed = threading.Condition()
        self._calls: dict[str, int] = {}
        self._server: _Server | None = None
        self.welcome = {
            "job": "k7m2q9x", "tasks": 1, "command": command, "directory": ".", "snapshot": "",
            "cpus": 1.0, "memory": None, "gpus": 0, "time_limit": None, "grace": 2.0, "env": {},
            "stdin": None, "poll": 20.0, "lease_ttl": 60.0,
        } | settings  # fmt: skip
        if not self.welcome["snapshot"]:
            self.snapshot({})

    # --- what a test sets up ----------------------------------------------------------------------

    def snapshot(self, files: dict[str, bytes | None], *, modes: dict[str, int] | None = None) -> None:
        """The working directory: contents by path, None for a directory."""
        entries = [
            Entry(name.encode(), Kind.DIRECTORY, (modes or {}).get(name, 0o755))
            if data is None
            else Entry(name.encode(), Kind.FILE, (modes or {}).get(name, 0o644), len(data), self.blob(data))
            for name, data in files.items()
        ]
        raw = Manifest.of(entries).encode()
        self.manifests[digest_of(raw)] = raw
        self.welcome["snapshot"] = digest_of(raw)

    def blob(self, data: bytes) -> str:
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def add_task(self, index: int = 1, attempt: int = 1, checkpoint: str | None = None) -> str:
        token = f"lease-{index}-{attempt}"
        with self.changed:
            expires = time.time() + 60
            self.pending.append(
                Lease(token=token, task=index, attempt=attempt, expires=expires, checkpoint=checkpoint)
            )
            self.changed.notify_all()
        return token

    def order(self, kind: OrderKind, token: str = "") -> None:
        with self.changed:
            if kind is OrderKind.STOP:
                self.stopping = True
            else:
                self.orders[token] = kind
                if kind is OrderKind.DROP:
                    self.lost.add(token)
            self.changed.notify_all()

    def release(self) -> None:
        with self.changed:
            self.released = True
            self.changed.notify_all()

    def set(self, **settings: Any) -> None:
        self.welcome |= settings

    # --- what a test waits for and looks at -------------------------------------------------------

    def wait_for(self, condition: Callable[[], Any], timeout: float = 30.0) -> Any:
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "the fake launcher waited in vain"
            return condition()

    def completion(self, token: str = "lease-1-1", timeout: float = 30.0) -> Completion:
        self.wait_for(lambda: token in self.completions, timeout)
        return self.completions[token]

    def output(self, stream: Stream = Stream.STDOUT, *, task: int = 1, attempt: int = 1) -> bytes:
        frames = self.frames.get((task, attempt), [])
        return b"".join(frame.data for frame in frames if frame.stream is stream)

    def results(self, digest: str | None) -> dict[str, bytes | None]:
        if digest is None:
            return {}
        entries = decode_manifest(self.manifests[digest]).entries
        return {entry.path.decode(): self.blobs.get(entry.digest) for entry in entries}

    # --- presence ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._server = _Server(str(self.socket), _Handler)
        self._server.launcher = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go away in the middle of whatever is being said."""
        if server := self._server:
            self._server = None
            with self.changed:
                server.closing = True
                self.changed.notify_all()
            server.shutdown()
            server.server_close()
            self.socket.unlink(missing_ok=True)
            server.cut()

    # --- the protocol -----------------------------------------------------------------------------

    def note(self, kept: list[Any], heard: object) -> None:
        with self.changed:
            kept.append(heard)
            self.changed.notify_all()

    def lease(self, request: LeaseRequest, gone: Callable[[], bool]) -> LeaseResponse:
        deadline = time.monotonic() + self.welcome["poll"]
        with self.changed:
            number = self._calls[request.runner] = self._calls.get(request.runner, 0) + 1
            self.changed.notify_all()
            for completion in request.completions:
                self._keep(list(decode_frames([completion.output])))
                self.completions.setdefault(completion.token, completion)
            for token in request.returned:
                self.returned.append(self.leased.pop(token)[1])
            while True:
                if self.released:
                    raise PoolReleasedError("The job is over.")
                if gone():
                    return LeaseResponse()
                answer = self._answer(request)
                if answer != LeaseResponse() or self._calls[request.runner] != number:
                    self.told += answer.orders
                    return answer
                if not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    return LeaseResponse()

    def _answer(self, request: LeaseRequest) -> LeaseResponse:
        known = {*request.holding, *(one.token for one in request.completions)}
        for token, (runner, lease) in list(self.leased.items()):
            if runner == request.runner and token not in known and token not in self.completions:
                del self.leased[token]
                if token not in self.lost:
                    self.pending.insert(0, lease)
        leases = []
        ahead = request.ahead and self.batch - 1
        held = [token for token in request.holding if token in self.leased]
        while self.pending and len(held) + len(leases) < request.free_slots + ahead:
            lease = self.pending.pop(0)
            self.leased[lease.token] = (request.runner, lease)
            self.runners_of[lease.token] = request.runner
            leases.append(lease)
        orders = [
            Order(kind=kind, token=token)
            for token, kind in self.orders.items()
            if token in request.holding and token not in request.cancelling
        ]
        if self.stopping and not leases and not request.holding:
            orders.append(Order(kind=OrderKind.STOP))
        settled = (*(one.token for one in request.completions), *request.returned) if self.settle else ()
        return LeaseResponse(leases=tuple(leases), orders=tuple(orders), settled=settled)

    def save(self, token: str, digest: str) -> None:
        with self.changed:
            if token in self.lost:
                raise LeaseLostError("This lease is lost.")
            assert digest in self.manifests
            self.saved.setdefault(token, []).append(digest)
            self.changed.notify_all()

    def logs(self, token: str, frames: list[Frame]) -> LogReceipt:
        with self.changed:
            if token in self.lost:
                raise LeaseLostError("This lease is lost.")
            return LogReceipt(next_seq=self._keep(frames))

    def _keep(self, frames: list[Frame]) -> int:
        if not frames:
            return 0
        key = (frames[0].task, frames[0].attempt)
        kept = self.frames.setdefault(key, [])
        fresh = [frame for frame in frames if frame.seq >= len(kept)]
        kept += fresh
        self.arrivals.setdefault(key, []).extend([time.time()] * len(fresh))
        self.changed.notify_all()
        return len(kept)

    def put_manifest(self, digest: str, raw: bytes) -> None:
        absent = [one for one in decode_manifest(raw).blobs() if one not in self.blobs]
        if absent:
            raise BlobMissingError("Some files are not here.", details={"digests": absent})
        self.manifests[digest] = raw

    def fetch(self, digests: tuple[str, ...]) -> list[Blob]:
        absent = [digest for digest in digests if digest not in self.blobs]
        if absent:
            raise BlobMissingError("Some files are not here.", details={"digests": absent})
        return [encode_bytes(digest, self.blobs[digest]) for digest in digests]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    launcher: FakeLauncher
    closing = False

    def __init__(self, *args: Any) -> None:
        self._sockets: set[Any] = set()
        super().__init__(*args)

    def process_request(self, request, client_address):
        self._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._sockets.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(2)

    def handle_error(self, request, client_address):
        """A runner that is killed breaks its connections; that is its business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    wbufsize = -1

    def address_string(self) -> str:
        return "runner"

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _is_gone(self) -> bool:
        """Whether nobody will read the answer: a dead runner must not be given a lease."""
        if self.server.closing:
            return True
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _serve(self) -> None:
        launcher, path = self.server.launcher, self.path.partition("?")[0].removeprefix("/runner/v1")
        body = self._body()
        try:
            if self.server.closing:
                self.close_connection = True
                return
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise UnauthorizedError("This is not the token of the pool.")
            launcher.note(launcher.requests, f"{self.command} {path}")
            if error := launcher.refuse(path):
                raise error
            status, answer = 200, self._answer(launcher, path, body)
            if self.server.closing:
                self.close_connection = True
                return
        except OffloadError as error:
            status, answer = error.http_status, encode(error.to_json())
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
        self.wfile.flush()

    def _answer(self, launcher: FakeLauncher, path: str, body: bytes) -> bytes:  # noqa: C901, PLR0911  a table of calls
        match self.command, path.split("/")[1:]:
            case "POST", ["hello"]:
                launcher.note(launcher.hellos, decode(body, Hello))
                return encode(Welcome(**launcher.welcome))
            case "POST", ["lease"]:
                return encode(launcher.lease(decode(body, LeaseRequest), self._is_gone))
            case "POST", ["checkpoint"]:
                launcher.save(self.headers[LEASE_HEADER], decode(body, Saved).digest)
                return b""
            case "POST", ["logs"]:
                return encode(launcher.logs(self.headers[LEASE_HEADER], list(decode_frames([body]))))
            case "POST", ["blobs", "missing"]:
                asked = decode(body, Digests).digests
                return encode(Digests(digests=tuple(one for one in asked if one not in launcher.blobs)))
            case "POST", ["blobs", "fetch"]:
                return b"".join(encode_pack(launcher.fetch(decode(body, Digests).digests)))
            case "PUT", ["blobs"]:
                for blob in decode_pack([body]):
                    launcher.blobs[blob.digest] = b"".join(decoded(blob))
                return b""
            case "PUT", ["manifests", digest]:
                launcher.put_manifest(digest, body)
                return b""
            case (("GET" | "HEAD"), ["manifests", digest]) if digest in launcher.manifests:
                return launcher.manifests[digest]
        raise OffloadError(f"There is no {self.command} {path}.", details={"status": 404})

    do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815  the names of the standard library


__all__ = ["TOKEN", "FakeLauncher"]
