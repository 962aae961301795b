"""``offload jobs``: the list."""

from __future__ import annotations

import time

import click

from offload.cli.command import Command
from offload.cli.shared import connect, json_option, print_json
from offload.cli.text import ago, counts_text, duration_of, stand_of, table
from offload.model.states import Stand
from offload.wire.api import JobView


@click.command(
    "jobs",
    cls=Command,
    examples=(
        "offload jobs",
        "offload jobs --state running",
        "offload jobs --json | jq -r '.jobs[].id'",
    ),
)
@click.option("--state", type=click.Choice([stand.value for stand in Stand]), help="Only jobs in this state.")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@json_option('{"jobs": [JobView…], "next": id or null}')
def jobs_command(*, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with connect() as api:
        page = api.jobs(state=state, limit=limit)
    if as_json:
        print_json(page)
    elif not page.jobs:
        click.echo("No jobs yet. Run one: offload run fit.R" if state is None else f"No jobs are {state}.")
    else:
        now = time.time()
        headers = ("id", "name", "state", "tasks", "cluster", "submitted", "ran")
        click.echo(table(headers, [_row(job, now) for job in page.jobs], whole=("tasks",)))
        if page.next:
            click.echo(f"… and older ones: offload jobs --limit {limit * 2}")


def _row(job: JobView, now: float) -> tuple[str, ...]:
    tasks = counts_text(job.counts) if job.spec.is_array else str(job.counts.total)
    return (
        job.id,
        job.spec.name,
        stand_of(job),
        tasks,
        job.spec.cluster,
        ago(job.created, now),
        duration_of(job, now),
    )
