"""The blob and manifest calls of a launcher, and nothing else: a real HTTP server over real files.

What the snapshot's tests talk to. ``received`` counts the bytes of request bodies.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from offload.errors import BlobMissingError, OffloadError
from offload.model.manifest import decode_manifest, digest_of
from offload.store.blobs import BlobFiles
from offload.wire.blob_client import BASE_HEADER, HttpBlobs
from offload.wire.codec import decode, encode
from offload.wire.content import Digests
from offload.wire.encoding import compressed, decode_difference
from offload.wire.http import Connection, unix_address
from offload.wire.packs import encode_pack


class BlobLauncher(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def __init__(self, directory: Path, *, network: bool) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.blobs = BlobFiles(directory / "blobs")
        self.manifests: dict[str, bytes] = {}
        self.received = 0
        self.calls: list[str] = []
        self._connections: list[Connection] = []
        self.address_family = socket.AF_INET if network else socket.AF_UNIX
        super().__init__(("127.0.0.1", 0) if network else str(directory / "socket"), _Handler)
        address = self.server_address
        self.url = unix_address(address) if isinstance(address, str) else f"http://127.0.0.1:{address[1]}"

    def connect(self) -> HttpBlobs:
        connection = Connection(self.url)
        self._connections.append(connection)
        return HttpBlobs(connection, "/v1")

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests are about."""

    def server_close(self) -> None:
        for connection in self._connections:
            connection.close()
        super().server_close()
        self.blobs.close()


class _Handler(BaseHTTPRequestHandler):
    server: BlobLauncher
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def setup(self) -> None:
        self.client_address = ("", 0)
        super().setup()

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815  the names that http.server calls

    def _answer(self) -> None:
        self.server.calls.append(f"{self.command} {self.path}")
        chunks = self._chunks()
        try:
            status, body = self._do(chunks)
        except OffloadError as error:
            status, body = error.http_status, json.dumps(error.to_json()).encode()
        for _ in chunks:
            pass
        self.send_response(status)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)
        else:
            self._stream(body)

    def _stream(self, body: Iterator[bytes]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        except OffloadError:
            self.close_connection = True

    def _do(self, chunks: Iterator[bytes]) -> tuple[int, bytes | Iterator[bytes]]:
        match self.command, self.path.split("/")[2:]:
            case "POST", ["blobs", "missing"]:
                missing = self.server.blobs.missing(decode(b"".join(chunks), Digests).digests)
                return 200, encode(Digests(digests=tuple(missing)))
            case "POST", ["blobs", ("fetch" | "fetch?compressed=true") as call]:
                blobs = self.server.blobs.fetch(decode(b"".join(chunks), Digests).digests)
                return 200, encode_pack(blobs if call == "fetch" else map(compressed, blobs))
            case "PUT", ["blobs"]:
                with self.server.blobs.receive() as receiver:
                    for chunk in chunks:
                        receiver.feed(chunk)
                    receiver.close()
                return 204, b""
            case "PUT", ["manifests", digest]:
                self._put_manifest(digest, b"".join(chunks))
                return 204, b""
            case (("GET" | "HEAD"), ["manifests", digest]) if self._whole(digest):
                return 200, self.server.manifests[digest]
        return 404, b""

    def _whole(self, digest: str) -> bool:
        data = self.server.manifests.get(digest)
        return data is not None and not self.server.blobs.missing(decode_manifest(data).blobs())

    def _put_manifest(self, digest: str, body: bytes) -> None:
        if base := self.headers.get(BASE_HEADER):
            body = decode_difference(body, self.server.manifests[base], digest)
        assert digest_of(body) == digest
        if missing := self.server.blobs.missing(decode_manifest(body).blobs()):
            raise BlobMissingError("Blobs are missing.", details={"digests": sorted(missing)})
        self.server.manifests[digest] = body

    def _chunks(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.received += len(data)
            yield data
            return
        while size := int(self.rfile.readline() or b"0", 16):
            self.server.received += size
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


@contextlib.contextmanager
def blob_launcher(directory: Path, *, network: bool = False) -> Iterator[BlobLauncher]:
    """A launcher that serves until the block ends."""
    with BlobLauncher(directory, network=network) as launcher:
        thread = threading.Thread(target=launcher.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield launcher
        finally:
            launcher.shutdown()
            thread.join()
