"""An API server reduced to lists and watches of one collection, on a real socket.

It keeps versions and a history as the real one does, and can misbehave as that one, and the proxies before
it, do: forget its history, refuse, fall silent, end a watch, cut a line in two.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

PODS = "/api/v1/namespaces/analytics/pods"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int
    certificate: str

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def watches(self) -> bool:
        return self.query.get("watch") == "1"

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered instead of what would be."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def status(code: int, reason: str, message: str = "", **details: Any) -> Reply:
    """The body of an error, as Kubernetes writes it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return Reply(code, {**body, "message": message, "details": details})


class ApiServer:
    """Pods in one namespace.

    Attributes:
        asked: all requests.
        replies: given to the next requests, first come, first served.
        at: given to every request of a path.
        accepts: tokens that are known; None for all.
        silent: whether watches are told nothing.
        mute: whether no request is answered.
        ends_at_once: whether each watch is ended as soon as it begins.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.replies: deque[Reply] = deque()
        self.at: dict[str, Reply] = {}
        self.accepts: set[str] | None = None
        self.silent = False
        self.mute = False
        self.ends_at_once = False
        self.objects: dict[str, dict[str, Any]] = {}
        self._tls = tls
        self._version = 100
        self._oldest = 100
        self._history: list[tuple[int, bytes]] = []
        self._watches: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self._connections: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._made = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def put(self, name: str, **labels: str) -> None:
        """Create a pod, or change it."""
        there = self.objects.get(name)
        self._version += 1
        uid = there["metadata"]["uid"] if there else f"{name}@{self._version}"
        meta = {"name": name, "uid": uid, "labels": labels, "resourceVersion": str(self._version)}
        self.objects[name] = {"metadata": meta, "status": {"phase": "Running"}}
        self._tell("MODIFIED" if there else "ADDED", self.objects[name])

    def remove(self, name: str) -> None:
        """Delete a pod."""
        self._version += 1
        last = self.objects.pop(name)
        last["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", last)

    def bookmark(self) -> None:
        """Tell every watch how far it is, after something happened elsewhere."""
        self._version += 1
        metadata = {"resourceVersion": str(self._version), "creationTimestamp": None}
        empty = {"kind": "Pod", "metadata": metadata, "spec": {"containers": None}, "status": {}}
        self._say({"type": "BOOKMARK", "object": empty})  # as the real one does

    def say(self, line: bytes) -> None:
        """Write ``line`` to every watch, as it is."""
        for writer in self._watches:
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))

    def forget(self) -> None:
        """Compact the history: no watch can begin before now."""
        self._oldest = self._version
        self._history.clear()

    def end(self) -> None:
        """End every watch in order."""
        for over in self._watches.values():
            over.set()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._connections:
            writer.transport.abort()

    @property
    def version(self) -> str:
        return str(self._version)

    @property
    def watching(self) -> int:
        """How many watches there are."""
        return len(self._watches)

    @property
    def connected(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def lists(self) -> int:
        """How many lists were begun."""
        return sum(a.path == PODS and a.method == "GET" and not a.watches for a in self.asked)

    def _tell(self, kind: str, content: dict[str, Any]) -> None:
        line = json.dumps({"type": kind, "object": content}).encode() + b"\n"
        self._history.append((self._version, line))
        if not self.silent:
            self.say(line)

    def _say(self, content: dict[str, Any]) -> None:
        self.say(json.dumps(content).encode() + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        self._connections.add(writer)
        self._made += 1
        number = self._made
        try:
            while asked := await self._read(reader, writer, number):
                self.asked.append(asked)
                await self._answer(asked, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(writer)
            self._handlers.discard(task)
            writer.transport.abort()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> Asked | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        address = urlsplit(target)
        subject = dict(pair[0] for pair in (writer.get_extra_info("peercert") or {}).get("subject", ()))
        return Asked(
            method,
            unquote(address.path),
            dict(parse_qsl(address.query)),
            headers,
            body,
            number,
            subject.get("commonName", ""),
        )

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mute:
            await reader.read()
        elif self.accepts is not None and asked.token not in self.accepts:
            await self._send(writer, status(401, "Unauthorized", "Unauthorized"))
        elif self.replies:
            await self._send(writer, self.replies.popleft())
        elif asked.path in self.at:
            await self._send(writer, self.at[asked.path])
        elif asked.watches:
            await self._watch(asked, reader, writer)
        else:
            await self._send(writer, Reply(200, self._list(asked)))

    def _list(self, asked: Asked) -> dict[str, Any]:
        names = sorted(self.objects)
        begin, limit = int(asked.query.get("continue", 0)), int(asked.query.get("limit", 0)) or len(names)
        meta = {"resourceVersion": self.version}
        if begin + limit < len(names):
            meta["continue"] = str(begin + limit)
        return {
            "kind": "PodList",
            "metadata": meta,
            "items": [self.objects[n] for n in names[begin : begin + limit]],
        }

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        lines = [f"HTTP/1.1 {reply.status} x", f"Content-Length: {len(body)}"]
        lines += [f"{key}: {value}" for key, value in reply.headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    async def _watch(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        over = asyncio.Event()
        self._watches[writer] = over
        waiting = {asyncio.ensure_future(reader.read(1)), asyncio.ensure_future(over.wait())}
        try:
            self._begin(int(asked.query["resourceVersion"]), writer, over)
            limit = None if self.silent else float(asked.query["timeoutSeconds"])
            await asyncio.wait(waiting, timeout=limit, return_when="FIRST_COMPLETED")
        finally:
            del self._watches[writer]
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if reader.at_eof():
            raise ConnectionResetError
        writer.write(b"0\r\n\r\n")

    def _begin(self, since: int, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        if self.ends_at_once:
            over.set()
        elif self.silent:
            return
        elif since < self._oldest:
            error = status(410, "Expired", f"too old resource version: {since}").body
            line = json.dumps({"type": "ERROR", "object": error}).encode() + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            over.set()
        for version, line in self._history:
            if version > since:
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
