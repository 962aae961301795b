"""``offload clusters``: where jobs can run."""

from __future__ import annotations

import click

from offload.cli.command import Command
from offload.cli.shared import json_option, print_json
from offload.cli.text import resources_text, table
from offload.client.api import Api
from offload.wire.api import ClusterView


@click.command(
    "clusters",
    cls=Command,
    examples=(
        "offload clusters",
        "offload run --on local fit.R",
    ),
)
@json_option("[ClusterView…]")
def clusters_command(*, as_json: bool) -> None:
    """List the clusters, what fits there and how limits are kept."""
    with Api() as api:
        clusters = api.clusters()
    if as_json:
        print_json(clusters)
        return
    click.echo(table(("name", "backend", "state", "fits", "free"), [_row(cluster) for cluster in clusters]))
    for cluster in clusters:
        if cluster.problem:
            click.echo(f"\n{cluster.name}: {cluster.problem}")
        if cluster.enforces:
            click.echo(f"\nHow limits are kept on {cluster.name}:")
            click.echo(table(("limit", "by"), sorted(cluster.enforces.items()), indent="  "))


def _row(cluster: ClusterView) -> tuple[str, ...]:
    return (
        cluster.name,
        cluster.backend,
        "available" if cluster.available else "unavailable",
        resources_text(cluster.capacity) if cluster.capacity else "unknown",
        resources_text(cluster.free) if cluster.free else "unknown",
    )
