"""``offload wait``, ``collect``, ``cancel`` and ``rerun``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from offload.cli.at_rest import AtRest
from offload.cli.command import Command
from offload.cli.finish import exit_status, say_failure, summarise
from offload.cli.follow import progress, status_line
from offload.cli.shared import connect, job_argument, json_option, print_json, quiet_option
from offload.cli.terminal import STDERR, Terminal, is_terminal, output
from offload.client.collect import Collected, collect
from offload.client.failures import choose_failed
from offload.client.streams import wait_for_end
from offload.errors import PAUSED, UsageError
from offload.model.resources import format_memory, parse_memory
from offload.model.states import State
from offload.wire.api import JobView, Rerun

_FACTOR: Final = re.compile(r"(\d+(?:\.\d+)?)x")


@click.command("wait", cls=Command, examples=("offload wait k7m2q9x && offload collect k7m2q9x",))
@job_argument()
@quiet_option()
@json_option("JobView")
def wait_command(*, job_id: str, quiet: bool, as_json: bool) -> int:
    """Wait for a job to end; exit with its status.

    Ctrl-C ends only the waiting. A job that is paused and of which nothing runs won't end by itself: on a
    terminal you are asked how to go on; elsewhere, and when it is left paused, the exit status is 123.
    """
    terminal = Terminal(quiet=quiet or (as_json and not is_terminal(STDERR)))
    with connect() as api:
        job, at_rest = api.job(job_id), AtRest(api, terminal, quiet=as_json)
        with status_line(api, job, terminal):
            wait_for_end(api, job_id, at_rest=at_rest)
        job = api.job(job_id)
    if as_json:
        print_json(job)
    elif job.state is State.FAILED:
        say_failure(job, terminal)
    return PAUSED if at_rest.left else exit_status(job)


@click.command(
    "collect",
    cls=Command,
    examples=(
        "offload collect k7m2q9x",
        "offload collect k7m2q9x --to /tmp/look",
    ),
)
@job_argument()
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR", help="Into this directory instead of home."
)
@json_option('[{"task", "target", "size", "new", "changed", "same", "beside"}…]')
def collect_command(*, job_id: str, to: Path | None, as_json: bool) -> None:
    """Bring a job's results home.

    New and changed files go where the job came from; those of an array's task N into results/ID/N/ there,
    or DIR/N/. A file that was edited meanwhile, or is in the way, is kept, and the job's lands beside it
    under a name that says so. Collecting twice changes nothing.
    """
    terminal = Terminal()
    with connect() as api:
        job = api.job(job_id)
        with progress(terminal, f"{job_id} bringing results home"):
            collected = collect(api, job, to=to)
    if as_json:
        print_json([_facts(item) for item in collected])
        return
    lines = summarise(job, collected).lines
    click.echo("\n".join(lines) or ("Everything was here already." if collected else "It made no files."))


def _facts(item: Collected) -> dict[str, object]:
    report = item.report
    return {
        "task": item.task,
        "target": str(item.target),
        "size": item.size,
        "new": _names(report.new),
        "changed": _names(report.changed),
        "same": _names(report.same),
        "beside": [_names(pair) for pair in report.beside],
    }


def memory_of(text: str, job: JobView) -> int:
    """Bytes of ``8Gi``, or of ``2x`` what the job had.

    Raises:
        UsageError: it is neither, or the job had no limit to multiply.
    """
    factor = _FACTOR.fullmatch(text.strip())
    if factor is None:
        return parse_memory(text)
    had = job.spec.resources.memory
    if had is None:
        raise UsageError(
            f"{job.id} had no memory limit, so there is nothing to multiply.",
            next_step="Say how much it shall have: --memory 8Gi",
        )
    if not (amount := int(float(factor[1]) * had)):
        raise UsageError(
            f"{text} of {format_memory(had)} is no memory.", next_step="Write it like 2x or 8Gi."
        )
    return amount


def _names(paths: Iterable[bytes]) -> list[str]:
    return [path.decode("utf-8", "backslashreplace") for path in paths]


@click.command(
    "cancel",
    cls=Command,
    examples=(
        "offload cancel k7m2q9x",
        "offload collect k7m2q9x",
    ),
)
@job_argument()
@json_option("JobView")
def cancel_command(*, job_id: str, as_json: bool) -> None:
    """End a job; what it made until then is kept.

    The script gets SIGTERM, and after its grace period SIGKILL.
    """
    with connect() as api:
        job = api.cancel(job_id)
    if as_json:
        print_json(job)
    elif job.state.is_terminal:
        click.echo(f"{job.id} has already ended: {job.state.value}.")
    else:
        click.echo(
            f"{job.id} is being cancelled. What it made: offload wait {job.id}; offload collect {job.id}"
        )


@click.command(
    "rerun",
    cls=Command,
    examples=(
        "offload logs -f $(offload rerun k7m2q9x)",
        "offload rerun k7m2q9x --failed",
        "offload rerun k7m2q9x --cause 2 --memory 2x",
    ),
)
@job_argument()
@click.option("--failed", is_flag=True, help="Only the tasks that have failed.")
@click.option(
    "--cause",
    "causes",
    type=int,
    multiple=True,
    metavar="N",
    help="Only the tasks that failed for the cause with this number in `offload failures`. Repeatable.",
)
@click.option("--memory", metavar="SIZE", help="With this much memory: 8Gi, or 2x what it had.")
@json_option("JobView of the new job")
def rerun_command(
    *, job_id: str, failed: bool, causes: tuple[int, ...], memory: str | None, as_json: bool
) -> None:
    """Run a job, or what failed of it, once more, with the files it had.

    Prints the id of the new job and returns; files that changed since aren't used. A task keeps its index
    and its parameters.
    """
    with connect() as api:
        again = Rerun()
        if failed or causes or memory is not None:
            before = api.job(job_id)
            again = Rerun(
                tasks=choose_failed(api, before, causes) if failed or causes else None,
                memory=None if memory is None else memory_of(memory, before),
            )
        job = api.rerun(job_id, again)
    with output(f"{job.id} was sent, and goes on. Look at it: offload status {job.id}"):
        if as_json:
            print_json(job)
        else:
            click.echo(job.id)
