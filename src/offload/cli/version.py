"""``offload version``."""

from __future__ import annotations

from importlib.metadata import version

import click

from offload.cli.command import Command
from offload.wire.api import API_VERSION


@click.command("version", cls=Command, examples=("offload version",))
def version_command() -> None:
    """Print the version."""
    click.echo(f"offload {version('offload')} (API v{API_VERSION})")
