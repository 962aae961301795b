"""``offload logs``: what a job printed, now or from its first line to its end."""

from __future__ import annotations

import click

from offload.cli.at_rest import AtRest
from offload.cli.command import Command
from offload.cli.follow import show_output, status_line
from offload.cli.shared import connect, job_argument, quiet_option
from offload.cli.terminal import STDERR, Terminal, is_terminal
from offload.client.api import Api
from offload.errors import PAUSED, UsageError
from offload.model.array import Array


@click.command(
    "logs",
    cls=Command,
    examples=(
        "offload logs k7m2q9x",
        "offload logs -f k7m2q9x",
        "offload logs --task 7 k7m2q9x > task7.txt",
    ),
)
@job_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@quiet_option()
@click.option("--task", type=int, metavar="N", help="Only task N of an array, as its raw bytes.")
@click.option("--attempt", type=int, metavar="N", help="Only the N-th try.")
def logs_command(*, job_id: str, follow: bool, quiet: bool, task: int | None, attempt: int | None) -> int:
    """Show what a job printed.

    Its stdout goes to stdout and its stderr to stderr, unchanged. With -f it is replayed from the first
    line and continues until the job has ended; Ctrl-C ends only the watching. Exit status: 0, or 123 when
    the job was left paused. The output of an array is written in whole lines, and on a terminal each begins
    with its task's index.
    """
    # Nothing may come between the raw bytes of a task, unless it can be erased again.
    terminal = Terminal(quiet=quiet or (task is not None and not is_terminal(STDERR)))
    with connect() as api:
        job = api.job(job_id)
        if task is not None:
            api.task(job_id, task)
        at_rest = AtRest(api, terminal)
        if follow:
            with status_line(api, job, terminal):
                shown = show_output(api, job, terminal, task=task, attempt=attempt, at_rest=at_rest)
        else:
            shown = show_output(api, job, terminal, task=task, attempt=attempt, follow=False)
        if attempt is not None and not shown and not at_rest.left:
            _demand_attempt(api, job_id, task, attempt)
    return PAUSED if at_rest.left else 0


def _demand_attempt(api: Api, job: str, task: int | None, attempt: int) -> None:
    """Raise a ``UsageError`` unless there was such an attempt, or the first one may still begin."""
    numbers, may_begin = set[int](), False
    for one in api.tasks(job) if task is None else (api.task(job, task),):
        numbers |= {tried.number for tried in one.attempts}
        may_begin = may_begin or not one.state.is_terminal
        if attempt in numbers:
            return
    if numbers or not may_begin:
        who = f"Job {job}" if task is None else f"Task {task} of job {job}"
        raise UsageError(
            f"{who} has no attempt {attempt}.",
            next_step=f"Its attempts are {Array.of(numbers)}." if numbers else "It ended before any began.",
        )
