"""What several commands share: the launcher, the job argument with its completion, and ``--json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from offload.cli.command import Invocation
from offload.cli.terminal import Terminal
from offload.cli.text import stand_of
from offload.client.api import Api
from offload.client.launcher import find_endpoint
from offload.errors import OffloadError
from offload.wire.codec import encode
from offload.wire.version import VERSION

F = TypeVar("F", bound=Callable[..., Any])


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001  click's form
    if value and isinstance(ctx.obj, Invocation):
        ctx.obj.json = True
    return value


def json_option(shape: str) -> Callable[[F], F]:
    """``--json``; ``shape`` says in the help what comes out. Errors become JSON as well, on stderr."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help=f"Print JSON: {shape}."
    )


def quiet_option() -> Callable[[F], F]:
    """``--quiet``: on stderr only what needs attention."""
    return click.option(
        "-q", "--quiet", is_flag=True, help="Say only what needs attention, beside what the script prints."
    )


def connect() -> Api:
    """A conversation with the launcher; a line on stderr tells when it is of another version."""
    ctx = click.get_current_context(silent=True)
    quiet = ctx is not None and isinstance(ctx.obj, Invocation) and ctx.obj.json
    return Api(other_version=None if quiet else _say_version)


def _say_version(version: str) -> None:
    Terminal().say(
        f"offload: the launcher that runs is version {version}, and this is {VERSION}; "
        "`offload launcher stop` ends it, and the next command starts the new one",
        style="yellow",
    )


def print_json(value: object) -> None:
    """A value of the API as one line of JSON on stdout."""
    click.echo(encode(value))


def _complete_job(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  only in a completion

    try:
        # Pressing Tab must not start a launcher.
        jobs = Api(replace(find_endpoint(), places=None)).jobs(limit=100).jobs
    except OffloadError:
        return []
    return [
        CompletionItem(job.id, help=f"{job.spec.name} {stand_of(job)}")
        for job in jobs
        if job.id.startswith(incomplete)
    ]


def job_argument() -> Callable[[F], F]:
    """The id of a job."""
    return click.argument("job_id", metavar="ID", shell_complete=_complete_job)
