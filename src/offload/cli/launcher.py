"""``offload launcher``: look after the launcher of this machine."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import click

from offload.cli.command import Command, Group
from offload.cli.shared import json_option, print_json
from offload.cli.text import ago, number_of, span
from offload.client.api import Api
from offload.client.launcher import answers, ensure_running, find_endpoint
from offload.errors import LauncherUnreachableError
from offload.model.resources import format_size
from offload.wire.api import LauncherView

_STOP_PATIENCE: Final = 30.0


@click.group(
    "launcher",
    cls=Group,
    examples=(
        "offload launcher status",
        "offload launcher stop",
    ),
)
def launcher_command() -> None:
    """Look after the launcher of this machine.

    The first command that needs it starts it, and it ends by itself when it has been idle. Jobs go on
    while it is away.
    """


def _only_if_running() -> Api:
    return Api(replace(find_endpoint(), places=None))


@launcher_command.command("status", cls=Command, examples=("offload launcher status",))
@json_option("LauncherView, or null when none runs")
def status(*, as_json: bool) -> None:
    """Show whether it runs, since when, and what it keeps."""
    try:
        view = _only_if_running().launcher()
    except LauncherUnreachableError:
        view = None
    if as_json:
        print_json(view)
    elif view is None:
        click.echo("No launcher runs; the next command that needs one starts it.")
    else:
        for label, value in _facts(view, time.time()):
            click.echo(f"{label:<10} {value}")


def _facts(view: LauncherView, now: float) -> list[tuple[str, str]]:
    idle = "never" if view.idle_limit is None else f"after {span(view.idle_limit)} without jobs"
    return [
        ("version", f"{view.version} (API v{view.api_version})"),
        ("process", f"{view.pid}, started {ago(view.started, now)}"),
        ("listens", ", ".join(view.listening)),
        ("store", view.store),
        ("keeps", f"{number_of(view.blobs, 'blob')}, {format_size(view.blob_bytes)}"),
        ("jobs", f"{view.unfinished_jobs} unfinished"),
        ("ends", idle),
    ]


@launcher_command.command("start", cls=Command, examples=("offload launcher start",))
def start() -> None:
    """Start it, if it doesn't run."""
    endpoint = find_endpoint()
    if endpoint.places is not None:
        ensure_running(endpoint.places)
    view = Api(endpoint).launcher()
    click.echo(f"The launcher runs as process {view.pid}.")


@launcher_command.command("stop", cls=Command, examples=("offload launcher stop",))
@click.option("--force", is_flag=True, help="Also while jobs are unfinished; they go on without it.")
def stop(*, force: bool) -> None:
    """End it; refused while jobs are unfinished, unless forced."""
    api = _only_if_running()
    try:
        api.stop_launcher(force=force)
    except LauncherUnreachableError:
        click.echo("No launcher runs.")
        return
    api.close()
    deadline = time.monotonic() + _STOP_PATIENCE
    while answers(api.endpoint.address):
        if time.monotonic() > deadline:
            raise LauncherUnreachableError("The launcher was asked to end, but still answers.")
        time.sleep(0.02)
    click.echo("The launcher has ended.")
