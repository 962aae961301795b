"""A launcher reduced to one job's log and events, which can break a stream off at any byte.

The real one can't be made to break off at a chosen byte; everything else is tested against the real one.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

from offload.model.counts import Counts
from offload.model.spec import Spec
from offload.model.states import State, Target
from offload.wire.api import EventView, JobView
from offload.wire.codec import encode
from offload.wire.frames import Frame, Stream

JOB = "k7m2q9x"
PING = Frame(Stream.PING, 0, 0, 0, 0, b"").encode()


def job_view(state: State) -> JobView:
    spec = Spec(command=("true",), name="true", cluster="local", snapshot="", home="file://h/")
    return JobView(
        id=JOB, user="u", spec=spec, state=state, target=Target.DONE, counts=Counts(running=1), created=0.0
    )


class StreamingLauncher:
    """Serves ``frames`` and ``events`` of one job.

    Attributes:
        cuts: how many bytes of each following log answer come through before it breaks off; when it is
            empty, an answer is whole.
        ends_early: whether a follower's stream ends properly before the job has (a launcher shutting down).
        refuse: how many of the following connections are dropped unanswered.
        starts: the ``after`` of every log request.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events: list[EventView] = []
        self.cuts: list[int] = []
        self.state = State.RUNNING
        self.refuse = 0
        self.starts: list[tuple[int, int | None]] = []
        self.last_event_ids: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.refuse:
            self.refuse -= 1
            handler.close_connection = True
            return
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/logs"):
            self._stream(handler, self._log(query))
        elif url.path.endswith("/events"):
            after = handler.headers["Last-Event-ID"]
            self.last_event_ids.append(after)
            events = [event for event in self.events if event.id > int(after)]
            text = b"".join(
                b"id: %d\nevent: %b\ndata: %b\n\n" % (event.id, event.kind.encode(), encode(event))
                for event in events
            )
            self._stream(handler, b": hello\n\n" + text)
        else:
            body = encode(job_view(self.state))
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

    def _log(self, query: dict[str, str]) -> bytes:
        task = int(query["task"]) if "task" in query else None
        self.starts.append((int(query["after"]), task))
        whole = b"".join(frame.encode() for frame in self.frames)[int(query["after"]) :]
        if task is not None:
            whole = b"".join(frame.encode() for frame in self.frames if frame.task == task)
        return PING + whole

    def _stream(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        cut = self.cuts.pop(0) if self.cuts else None
        part = body if cut is None else body[:cut]
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if part:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        if cut is None:
            self.state = State.SUCCEEDED
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True
