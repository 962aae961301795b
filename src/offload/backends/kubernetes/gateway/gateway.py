"""When there is a gateway: from the first pool that needs it until a while after the last.

Whatever breaks (the tunnel, the pod, its node, the API server) ends in the same loop: make what is missing,
find the pod, dial it. A launcher that comes back finds in its own notes that there may be a gateway, dials it
for the runners that are waiting, and takes it away if nobody is. The notes hold the gateway's address, too,
because runners remember it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from offload.backends.contract import Endpoint, Finding, Pool
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.gateway.link import linked, measure
from offload.backends.kubernetes.gateway.upkeep import Upkeep
from offload.backends.kubernetes.informer import Backoff
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.errors import OffloadError
from offload.wire.gateway_place import RUNNER_PORT, proof_of
from offload.wire.tunnel import Tunnel

_log = logging.getLogger(__name__)
NOTES: Final = "gateway.json"
_LOOK: Final = 5.0
"""Seconds between two looks at whether anybody needs it."""
_REMOVE: Final = 3.0
"""Seconds that a launcher which ends spends on taking it away."""
_CONNECT: Final = 40.0
"""Seconds that a check waits for a gateway."""


class Notes(msgspec.Struct, frozen=True):
    """What outlives the launcher: its secret, and the address of the gateway that there may be."""

    secret: str
    address: str = ""


class Gateway:
    """The gateway of one launcher on one cluster.

    Args:
        client: speaks to the API server.
        settings: of the cluster.
        launcher: this launcher's identity.
        directory: where notes are kept.
        endpoint: opens the place where streams of runners are handed over.
        needed: whether any pool needs the gateway.
        linger: seconds for which a gateway that nobody needs stays: the next job may come soon.

    Attributes:
        problem: why there is no tunnel though there should be one; else empty.
    """

    def __init__(
        self,
        client: Client,
        settings: KubernetesSettings,
        *,
        launcher: str,
        directory: Path,
        endpoint: Callable[[], Awaitable[Endpoint]],
        needed: Callable[[], bool],
        linger: float = 120.0,
    ) -> None:
        self.problem = ""
        self._client = client
        self._file = directory / NOTES
        self._notes = _read(self._file) or Notes(secrets.token_urlsafe(32))
        proof = proof_of(self._notes.secret)
        self._upkeep = Upkeep(client, settings, launcher=launcher, proof=proof)
        self._endpoint = endpoint
        self._needed = needed
        self._changing = asyncio.Lock()
        self._living: asyncio.Task[None] | None = None
        self._tunnel: Tunnel | None = None
        self._connected = asyncio.Event()
        self._linger = linger
        self._until = 0.0
        self._was_needed = False

    async def reach(self, pool: Pool) -> Pool:
        """The pool with where its runners dial; makes the gateway if there is none.

        Raises:
            KubernetesError: the API server can't be reached, or says no.
        """
        self._was_needed = True
        async with self._changing:
            if self._living is None or not self._notes.address:
                await self._make()
                self._live()
            endpoint = await self._endpoint()
            host = self._notes.address
        address = f"https://[{host}]:{RUNNER_PORT}" if ":" in host else f"https://{host}:{RUNNER_PORT}"
        return replace(pool, launcher=address, certificate=endpoint.certificate)

    def resume(self) -> None:
        """Take up what an earlier launcher left."""
        if self._notes.address:
            self._live()

    async def look(self) -> Finding:
        """How the way is."""
        why = "because the settings name no address at which pods reach this launcher"
        try:
            async with self._changing:
                await self._make()
                self._live()
            async with asyncio.timeout(_CONNECT):
                await self._connected.wait()
                assert self._tunnel is not None
                latency, speed = await measure(self._tunnel)
        except TimeoutError:
            sentence = f"There is no way through the gateway yet. {self.problem}".rstrip()
            return Finding(about="callback", works=False, sentence=sentence)
        except (OffloadError, OSError) as error:
            sentence = error.sentence if isinstance(error, OffloadError) else str(error)
            step = (error.next_step if isinstance(error, OffloadError) else "") or ""
            return Finding(about="callback", works=False, sentence=sentence, next_step=step)
        return Finding(
            about="callback",
            works=True,
            sentence=f"Runners dial a gateway in the namespace, {why}. Through the API server it is "
            f"{latency * 1000:.1f} ms there and back, {speed / 1e6:.0f} MB/s each way.",
        )

    async def aclose(self) -> None:
        """Let go of it: it stays for runners that are still there, and else goes, if that is quickly done."""
        if self._living is None:
            return
        self._living.cancel()
        await asyncio.gather(self._living, return_exceptions=True)
        # A launcher that has just come back doesn't know yet whose runners there are.
        if self._was_needed and not self._needed():
            with contextlib.suppress(OffloadError, TimeoutError):
                async with asyncio.timeout(_REMOVE):
                    await self._upkeep.remove()
                    self._note(_at(self._notes, ""))

    async def _make(self) -> None:
        address = await self._upkeep.make(self._notes.address)
        if address != self._notes.address:
            self._note(_at(self._notes, address))

    def _live(self) -> None:
        self._until = asyncio.get_running_loop().time() + self._linger
        if self._living is None:
            self._living = asyncio.create_task(self._until_idle(), name="gateway")

    async def _until_idle(self) -> None:
        loop = asyncio.get_running_loop()
        dialling = asyncio.create_task(self._keep_dialling(), name="gateway tunnel")
        try:
            while True:
                await asyncio.sleep(min(_LOOK, self._linger))
                if await self._leave_if_idle(loop.time()):
                    return
        finally:
            dialling.cancel()
            await asyncio.gather(dialling, return_exceptions=True)

    async def _leave_if_idle(self, now: float) -> bool:
        async with self._changing:
            if self._needed():
                self._until = now + self._linger
            if now < self._until:
                return False
            try:
                await self._upkeep.remove()
            except OffloadError as error:
                _log.warning("The gateway can't be removed: %s", error.sentence, extra=_about("remove"))
                return False
            self._note(_at(self._notes, ""))
            self._living = None
            self.problem = ""
            return True

    async def _keep_dialling(self) -> None:
        backoff = Backoff(0.3, 15.0)
        while True:
            try:
                async with self._changing:
                    await self._make()
                await self._carry(backoff)
                self.problem = "The tunnel to the gateway ended."
            except OffloadError as error:
                self._complain(f"{error.sentence} {error.next_step or ''}".strip())
            except OSError as error:  # TimeoutError among them
                self._complain(f"The tunnel to the gateway broke: {str(error) or type(error).__name__}")
            await asyncio.sleep(backoff.next())

    async def _carry(self, backoff: Backoff) -> None:
        """One tunnel, from its beginning to its end."""
        endpoint = await self._endpoint()
        pod = await self._upkeep.ready_pod()
        async with linked(self._client, pod, self._notes.secret, endpoint.socket) as tunnel:
            backoff.reset()
            self._tunnel, self.problem = tunnel, ""
            _log.info("The tunnel to the gateway is open.", extra=_about("link"))
            running = asyncio.ensure_future(tunnel.run())
            self._connected.set()
            try:
                with contextlib.suppress(OffloadError):
                    await self._upkeep.tidy()
                await running
            finally:
                self._tunnel = None
                self._connected.clear()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("%s", problem, extra=_about("link"))
        self.problem = problem

    def _note(self, notes: Notes) -> None:
        self._notes = notes
        part = self._file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(msgspec.json.encode(notes))
        part.replace(self._file)


def _at(notes: Notes, address: str) -> Notes:
    return msgspec.structs.replace(notes, address=address)


def _read(file: Path) -> Notes | None:
    """None when there are none, or when they are damaged: another secret makes another gateway."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Notes)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _about(action: str) -> dict[str, str]:
    return {"action": f"gateway_{action}"}
