"""The process of this user's launcher, until it is stopped or idle.

It makes what it needs, tells in one line why it can't start, and leaves nothing behind but its data. When
it ends, the socket goes first: a client that comes now starts the next launcher, which waits until this one
is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import uvloop

from offload.errors import USAGE, OffloadError, SettingsError
from offload.launcher.launcher import Config, Launcher
from offload.launcher.tokens import write_private
from offload.server.app import create_app, create_runner_app
from offload.server.endpoint import RunnerEndpoint
from offload.server.listening import Server, only_one, tcp_socket, unix_socket
from offload.server.log_lines import write_log_lines
from offload.server.settings import Settings, load_settings
from offload.wire.places import Places, find_places, private_directory

_log = logging.getLogger("offload.server")


def main() -> int:
    """Run the launcher; the exit status."""
    write_log_lines()
    places = find_places()
    try:
        settings = load_settings(places.config, places.data, os.environ)
        places.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (places.runtime, places.socket.parent):
            private_directory(path, SettingsError)
        with only_one(places.data / "launcher.lock", places.runtime / "launcher.lock"):
            _run(places, settings)
    except OffloadError as error:
        _log.error("%s %s", error.sentence, error.next_step, extra={"action": error.code})
        with contextlib.suppress(OSError):  # the log has it, too
            places.refusal.write_text(json.dumps(error.to_json()))
        return error.exit_status
    except OSError as error:
        _log.error("The launcher can't start: %s", error, extra={"action": "start"})
        return USAGE
    return 0


def _run(places: Places, settings: Settings) -> None:
    endpoint = RunnerEndpoint(places.socket.with_suffix(".runners"), places.data / "runners.pem")
    launcher = Launcher.open(config_of(places, settings, endpoint))
    endpoint.serve(partial(create_runner_app, launcher))
    sockets = [unix_socket(places.socket), *map(tcp_socket, settings.listen)]
    if settings.listen:
        _keep_token(places.data / "token", launcher.tokens.of_api())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(launcher, sockets, places.socket, endpoint))


def config_of(places: Places, settings: Settings, endpoint: RunnerEndpoint) -> Config:
    """What the launcher needs to know."""
    return Config(
        data=places.data,
        store=settings.store,
        address=places.address,
        settings_file=places.config,
        clusters=settings.clusters,
        listening=(places.address, *(f"http://{address}" for address in settings.listen)),
        retention=settings.retention,
        idle_limit=settings.idle_limit,
        endpoint=endpoint.open,
    )


def _keep_token(path: Path, token: str) -> None:
    path.unlink(missing_ok=True)
    write_private(path, token.encode())


async def serve(
    launcher: Launcher,
    sockets: list[socket.socket],
    path: Path,
    endpoint: RunnerEndpoint,
    *,
    signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> None:
    """Serve until a signal, the API or idleness ends it; ``path`` is that of the Unix socket."""
    server = Server(create_app(launcher))

    def end() -> None:
        path.unlink(missing_ok=True)
        launcher.hub.stop()
        server.end()

    loop = asyncio.get_running_loop()
    for name in signals:
        loop.add_signal_handler(name, end)
    launcher.start(end)
    _log.info("Serving %s.", ", ".join(launcher.config.listening), extra={"action": "start"})
    try:
        await server.serve(sockets)
    finally:
        await endpoint.aclose()
        await launcher.stop()
        _log.info("Ended.", extra={"action": "end"})
