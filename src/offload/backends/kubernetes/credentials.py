"""What we show to an API server, fresh whenever it is needed.

A client certificate or a token, from the kubeconfig, from a file that somebody else renews, or from a
plug-in: the program that EKS, GKE and AKS use. A plug-in runs once at a time, and its answer is kept until
shortly before it expires. A 401 makes us ask it again at once, because clocks differ and tokens are revoked.
Files are read each time they are needed: that costs 20 µs and never serves a stale one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from offload.backends.kubernetes.access import Access, Plugin
from offload.backends.kubernetes.api_errors import CredentialsError, Status

__all__ = ["Credential", "Credentials"]

PLUGIN_SECONDS: Final = 60.0
"""How long a plug-in may take; those that sign in through a company's identity provider need many seconds."""
_MARGIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request shows.

    Attributes:
        token: bearer token.
        certificate: client certificate in PEM.
        key: its private key in PEM.
    """

    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def headers(self, access: Access) -> list[tuple[str, str]]:
        """The headers of a request that say who asks."""
        token = [("Authorization", f"Bearer {self.token}")] if self.token else []
        return token + list(access.user.acts_as)


class Credentials:
    """The credentials of one :class:`Access`.

    Args:
        access: who we are, and where.
        env: variables that a plug-in runs with, PATH among them; the launcher's own by default.
        plugin_seconds: how long a plug-in may take.
    """

    def __init__(
        self, access: Access, *, env: Mapping[str, str] | None = None, plugin_seconds: float = PLUGIN_SECONDS
    ) -> None:
        self._access = access
        self._env = os.environ if env is None else env
        self._plugin_seconds = plugin_seconds
        self._one_at_a_time = asyncio.Lock()
        self._kept = Credential()
        self._fresh_until = 0.0

    async def current(self) -> Credential:
        """What to show now.

        Raises:
            CredentialsError: a file can't be read, or the plug-in failed.
        """
        user = self._access.user
        token = _read(user.token_file) if user.token_file else user.token
        certificate, key = _read(user.certificate), _read(user.key)
        if user.plugin is None or token:
            return Credential(_text(token), certificate, key)
        handed_out = await self._from_plugin(user.plugin)
        return Credential(handed_out.token, handed_out.certificate or certificate, handed_out.key or key)

    async def refused(self, shown: Credential) -> bool:
        """Note that the server answered 401; whether there is something else to show now."""
        async with self._one_at_a_time:
            if self._kept in (shown, Credential(shown.token)):
                self._fresh_until = 0.0
        return await self.current() != shown

    async def _from_plugin(self, plugin: Plugin) -> Credential:
        async with self._one_at_a_time:
            if time.time() >= self._fresh_until:
                answer = await self._ask(plugin)
                self._kept, self._fresh_until = _understood(plugin, answer)
            return self._kept

    async def _ask(self, plugin: Plugin) -> bytes:
        env = {**self._env, **dict(plugin.environment)}
        program = shutil.which(plugin.command, path=env.get("PATH", os.defpath))
        if program is None:
            raise _plugin_error(
                plugin,
                "isn't installed, or isn't on the PATH of the launcher",
                next_step=plugin.install_hint or f"Install {plugin.command}, and start the launcher again.",
            )
        env["KUBERNETES_EXEC_INFO"] = _exec_info(plugin, self._access)
        try:
            process = await _start([program, *plugin.arguments], env)
        except OSError as error:
            raise _plugin_error(plugin, f"can't be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._plugin_seconds):
                out, err = await process.communicate()
        except TimeoutError:
            raise _plugin_error(plugin, f"gave no answer in {self._plugin_seconds:g} s") from None
        finally:
            await _end(process)
        if process.returncode:
            raise _plugin_error(plugin, f"failed with exit status {process.returncode}: {_last_lines(err)}")
        return out


class _Handed(Struct, rename="camel"):
    """``ExecCredentialStatus``."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _ExecCredential(Struct, rename="camel"):
    """What a plug-in writes on its output."""

    api_version: str = ""
    kind: str = ""
    status: _Handed | None = None


def _understood(plugin: Plugin, answer: bytes) -> tuple[Credential, float]:
    try:
        said = msgspec.json.decode(answer, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _plugin_error(plugin, f"wrote something else than credentials: {error}") from error
    if said.kind != "ExecCredential" or said.api_version != plugin.api_version:
        raise _plugin_error(
            plugin, f"was asked for {plugin.api_version}, and wrote {said.kind} {said.api_version}"
        )
    status = said.status
    if status is None or not (status.token or status.client_certificate_data):
        raise _plugin_error(plugin, "wrote neither a token nor a certificate")
    if (status.client_certificate_data is None) != (status.client_key_data is None):
        raise _plugin_error(plugin, "wrote a certificate without its key, or a key without its certificate")
    credential = Credential(
        status.token, _bytes(status.client_certificate_data), _bytes(status.client_key_data)
    )
    return credential, _good_until(status.expiration_timestamp)


def _good_until(expires: datetime | None) -> float:
    """When to ask again: a little before the end, and for a short life a tenth of it."""
    if expires is None:
        return float("inf")
    left = expires.timestamp() - time.time()
    return time.time() + left - min(_MARGIN, left / 10)


def _exec_info(plugin: Plugin, access: Access) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.told_cluster:
        told = {
            "server": access.server,
            "tls-server-name": access.tls_server_name,
            "insecure-skip-tls-verify": access.insecure or None,
            "certificate-authority-data": base64.b64encode(access.ca).decode() if access.ca else None,
            "proxy-url": access.proxy_url,
            "config": plugin.cluster_config,
        }
        spec["cluster"] = {key: value for key, value in told.items() if value is not None}
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return msgspec.json.encode(info).decode()


async def _start(command: list[str], env: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the plug-in with all that it started, if it still runs, and close its pipes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


def _read(source: bytes | Path | None) -> bytes | None:
    if not isinstance(source, Path):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise CredentialsError(
            "sign in to the cluster with", Status(message=f"{source} can't be read: {error.strerror}")
        ) from error


def _text(token: bytes | str | None) -> str | None:
    return token.decode("ascii", "replace").strip() if isinstance(token, bytes) else token


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _last_lines(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-5:]) or "it said nothing"


def _plugin_error(plugin: Plugin, problem: str, next_step: str = "") -> CredentialsError:
    command = " ".join((plugin.command, *plugin.arguments))
    return CredentialsError(
        "sign in to the cluster with",
        Status(message=f"the program {plugin.command} {problem}"),
        next_step=next_step
        or f"Run `{command}` yourself to see what is wrong; perhaps you have to sign in again.",
    )
