"""``offload pause`` and ``resume``."""

from __future__ import annotations

import click

from offload.cli.command import Command
from offload.cli.shared import connect, job_argument, json_option, print_json
from offload.cli.text import number_of
from offload.wire.api import JobView


@click.command(
    "pause",
    cls=Command,
    examples=(
        "offload pause k7m2q9x",
        "offload resume k7m2q9x",
    ),
)
@job_argument()
@json_option("JobView")
def pause_command(*, job_id: str, as_json: bool) -> None:
    """Begin no more of a job's tasks until it is resumed.

    What runs goes on to its end, and then the job takes no room on its cluster. What it made can be
    collected.
    """
    with connect() as api:
        job = api.pause(job_id)
    if as_json:
        print_json(job)
    elif job.is_paused:
        runs = f", {number_of(job.counts.running, 'task')} still running" if job.counts.running else ""
        why = f": {job.reason.sentence}" if job.reason else "."
        click.echo(f"{job.id} is paused{runs}{why} Go on: offload resume {job.id}")
    else:
        click.echo(_over(job))


@click.command("resume", cls=Command, examples=("offload resume k7m2q9x && offload logs -f k7m2q9x",))
@job_argument()
@json_option("JobView")
def resume_command(*, job_id: str, as_json: bool) -> None:
    """Let a paused job go on."""
    with connect() as api:
        job = api.resume(job_id)
    if as_json:
        print_json(job)
    elif job.state.is_terminal or job.target == "cancelled":
        click.echo(f"{_over(job)} Once more: offload rerun {job.id}")
    else:
        click.echo(f"{job.id} goes on. Its output: offload logs -f {job.id}")


def _over(job: JobView) -> str:
    """Why it can neither be paused nor resumed."""
    ended = job.state.is_terminal
    return f"{job.id} has already ended: {job.state.value}." if ended else f"{job.id} is being cancelled."
