"""From a runner's socket through a gateway and a tunnel to the launcher, all of it real but the cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.service import Service
from offload.errors import LauncherUnreachableError, OffloadError, UnauthorizedError
from offload.gateway.gateway import READ_AHEAD, Gateway
from offload.model.blobs import Blob, Codec
from offload.model.ids import PoolId
from offload.model.manifest import digest_of
from offload.wire.blob_client import HttpBlobs
from offload.wire.codec import decode
from offload.wire.gateway_place import Introduction, Welcome, line, proof_of
from offload.wire.http import Connection
from offload.wire.splice import splice
from offload.wire.tunnel import StreamPipe, Tunnel

SECRET = "the launcher's own"
POOL = PoolId("k7m2q9x-0")


class Place:
    """A gateway, with its two doors.

    Attributes:
        address: where runners dial.
    """

    def __init__(self, gateway: Gateway, runners: int, launchers: int) -> None:
        self.gateway = gateway
        self.address = f"https://127.0.0.1:{runners}"
        self.launchers = launchers

    async def introduce(self, secret: str = SECRET, protocol: int = 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.launchers)
        writer.write(line(Introduction(secret, protocol)))
        return decode(await reader.readline(), Welcome), reader, writer

    @asynccontextmanager
    async def linked(self, socket: Path):
        """A launcher's tunnel."""

        async def serve(stream, _) -> None:
            await splice(stream, *await asyncio.open_unix_connection(socket))

        welcome, reader, writer = await self.introduce()
        assert welcome.refusal == ""
        running = asyncio.create_task(Tunnel(StreamPipe(reader, writer), serve, dialled=True).run())
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            writer.close()


@asynccontextmanager
async def a_gateway():
    gateway = Gateway(proof_of(SECRET))
    runners = await asyncio.start_server(gateway.take_runner, "127.0.0.1", 0, limit=READ_AHEAD)
    launchers = await asyncio.start_server(gateway.take_launcher, "127.0.0.1", 0, limit=READ_AHEAD)
    ports = [one.sockets[0].getsockname()[1] for one in (runners, launchers)]
    async with runners, launchers:
        yield Place(gateway, *ports)


@pytest.fixture
def endpoint(service, tmp_path):
    """Where the launcher serves what comes through a tunnel; the certificate as a file."""
    opened = service.wait(service.launcher.config.endpoint)
    (tmp_path / "certificate").write_text(opened.certificate)
    return opened


@pytest.fixture
def dial(service, tmp_path, endpoint) -> Callable[..., Connection]:
    """A runner's connection to an address."""

    def connect(address: str, token: str | None = None) -> Connection:
        token = service.launcher.tokens.of_pool(POOL) if token is None else token
        return Connection(address, token=token, certificate=tmp_path / "certificate", timeout=20)

    return connect


@pytest.fixture
def another(tmp_path) -> Iterator[Service]:
    """Somebody else's launcher."""
    running = Service(tmp_path / "another")
    running.start()
    yield running
    running.stop()


def ask(connection: Connection) -> set[str]:
    with connection:
        return HttpBlobs(connection, "/runner/v1").missing(["sha256:" + 64 * "0"])


async def test_blobs_go_up_and_come_down_through_many_connections_at_once(dial, endpoint):
    contents = [os.urandom(3_000_000) for _ in range(4)]

    def there_and_back(data: bytes) -> bytes:
        with dial(place.address) as connection:
            blobs = HttpBlobs(connection, "/runner/v1")
            blobs.put([Blob(digest_of(data), Codec.RAW, (data,))])
            return b"".join(chunk for blob in blobs.fetch([digest_of(data)]) for chunk in blob.chunks)

    async with a_gateway() as place, place.linked(endpoint.socket), asyncio.timeout(60):
        back = await asyncio.gather(*(asyncio.to_thread(there_and_back, data) for data in contents))
        assert back == contents


async def test_only_pools_are_let_in_and_only_to_the_runners_api(dial, endpoint):
    def get(path: str, token: str | None = None) -> None:
        with dial(place.address, token) as connection:
            connection.request("GET", path).read()

    async with a_gateway() as place, place.linked(endpoint.socket), asyncio.timeout(60):
        with pytest.raises(UnauthorizedError):
            await asyncio.to_thread(get, f"/runner/v1/manifests/sha256:{64 * '0'}", "wrong")
        for path in ("/v1/jobs", "/v1/launcher", "/v1/healthz", "/v1/openapi.json"):
            with pytest.raises(OffloadError) as caught:
                await asyncio.to_thread(get, path)
            assert "Not Found" in caught.value.sentence


async def test_who_poses_as_the_launcher_is_refused_and_changes_nothing(dial, endpoint):
    async with a_gateway() as place, place.linked(endpoint.socket), asyncio.timeout(60):
        for said in ({"secret": "guessed"}, {"protocol": 99}):
            welcome, reader, writer = await place.introduce(**said)
            assert welcome.refusal
            assert await reader.read() == b""
            writer.close()
        assert await asyncio.to_thread(ask, dial(place.address))


async def test_a_runner_does_not_talk_to_another_launcher_than_its_own(dial, another, endpoint):
    elsewhere = another.wait(another.launcher.config.endpoint)

    async with a_gateway() as place, place.linked(elsewhere.socket), asyncio.timeout(60):
        with pytest.raises(LauncherUnreachableError, match="certificate"):
            await asyncio.to_thread(ask, dial(place.address))


async def test_a_connection_waits_for_a_launcher_that_is_just_coming_back(dial, endpoint):
    async with a_gateway() as place, asyncio.timeout(60):
        before = place.gateway.needed
        asking = asyncio.create_task(asyncio.to_thread(ask, dial(place.address)))
        for _ in range(500):
            await asyncio.sleep(0.02)
            if place.gateway.needed > before:
                break
        assert not asking.done()
        async with place.linked(endpoint.socket):
            assert await asking


async def test_a_launcher_that_comes_again_takes_the_place_of_the_one_that_was_cut_off(dial, endpoint):
    here = endpoint.socket
    async with a_gateway() as place, place.linked(here) as first, place.linked(here), asyncio.timeout(60):
        assert await asyncio.to_thread(ask, dial(place.address))
        assert first.done()


async def test_two_gateways_that_open_the_endpoint_at_once_open_it_once(service):
    async def both():
        opened = await asyncio.gather(*(service.launcher.config.endpoint() for _ in range(2)))
        return opened, [task for task in asyncio.all_tasks() if task.get_name() == "runner endpoint"]

    (first, second), serving = service.wait(both)
    assert first == second
    assert len(serving) == 1
