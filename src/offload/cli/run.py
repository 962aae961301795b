"""``offload run``: send, follow, bring home, and exit as the script did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from offload.cli.at_rest import AtRest
from offload.cli.command import Command
from offload.cli.finish import CANCELLED, finish
from offload.cli.follow import growth_told, progress, show_output, status_line
from offload.cli.interrupts import Interrupts, LeftEarlyError
from offload.cli.over import spread
from offload.cli.shared import connect, json_option, print_json, quiet_option
from offload.cli.show import show_plan
from offload.cli.terminal import Terminal, output
from offload.cli.text import number_of
from offload.client.api import Api
from offload.client.keys import KEYS, REPEATED, YES
from offload.client.plan import Plan, make_plan
from offload.client.streams import wait_for_end
from offload.client.submit import Prepared, prepare, submit
from offload.errors import OWN_FAILURE, PAUSED, OffloadError, OutputError, UsageError
from offload.model.resources import format_size
from offload.wire.api import JobView

_SETTLE = 1.0
"""Seconds that leaving at once may wait for the launcher to hear of the cancelling."""


class _RunCommand(Command):
    """Knows whether ``--`` stood before the words, which makes them a command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = args if extra.get("resilient_parsing") else self._spread(args, parent)
        ctx = super().make_context(info_name, list(given), parent, **extra)
        words = ctx.params.get("words") or ()
        before = len(given) - len(words) - 1
        ctx.params["is_command"] = before >= 0 and given[before] == "--"
        return ctx

    def _spread(self, args: list[str], parent: click.Context | None) -> list[str]:
        params = self.get_params(click.Context(self, parent))
        options = [param for param in params if isinstance(param, click.Option)]
        return spread(args, {name: not option.is_flag for option in options for name in option.opts})


def _settings_options(command: click.Command) -> click.Command:
    options = [
        click.Option(
            [f"--{name}", f"set_{name.replace('-', '_')}"],
            metavar=key.metavar or None,
            type=click.UNPROCESSED if key.metavar else None,
            is_flag=None if key.metavar else True,  # an option that is said not to be one needs no value
            help=key.help,
            multiple=name in REPEATED,
        )
        for name, key in KEYS.items()
    ]
    command.params[:0] = options
    return command


@_settings_options
@click.command(
    "run",
    cls=_RunCommand,
    context_settings={"allow_interspersed_args": False},
    no_args_is_help=True,
    examples=(
        "offload run fit.R --rounds 500",
        "offload run --cpus 2 --memory 4Gi --time 2h fit.py",
        "offload run --array 1-20 sim.R          20 tasks; each sees its index in $OFFLOAD_TASK",
        "offload run --grid lr=0.1,0.01 --grid seed=1:100 train.py    200 tasks",
        "offload run --over data/*.csv -- clean.R    a task for each file",
        "offload run -- make -j4                 any command",
        "offload run -d --name nightly etl.py    later: offload logs -f ID; offload collect ID",
        "offload run --on eks --image rocker/r-ver:4.4 --mount data fit.R",
        "offload run --on eks --profile gpu-large train.py",
    ),
)
@click.option(
    "--root", type=click.Path(path_type=Path), metavar="DIR", help="Send this directory.  [default: .]"
)
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and return at once.")
@click.option(
    "--show", is_flag=True, help="Print the final spec and where each value came from; run nothing."
)
@quiet_option()
@json_option("with --detach the job, with --show the spec")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT [ARGUMENTS]...")
def run_command(
    *,
    words: tuple[str, ...],
    root: Path | None,
    detach: bool,
    show: bool,
    quiet: bool,
    as_json: bool,
    is_command: bool = False,
    **options: Any,
) -> int:
    """Send a script with its directory, show its output, bring results home.

    The script runs where it would run here, on a copy of this directory. What stands after the script are
    its own arguments. With `--`, the words are a command instead of a script.

    Options can stand in the script, in a comment near its top, and the command line wins:
    `# offload: cpus=4 memory=8Gi`

    With --array, --grid, --params or --over a job has many tasks. A task sees its parameters as
    OFFLOAD_PARAM_NAME and as {name} in its arguments; where no argument mentions one, --name VALUE is added
    for each (for --over: the file).

    New and changed files are in this directory when it ends; those of task N of many are in results/ID/N/.
    Ctrl-C cancels the job and still brings home what it made. Whatever else ends this command, the job goes
    on.

    Output goes through unchanged. That of an array is written in whole lines, and on a terminal each begins
    with its task's index. Without a terminal, stderr also tells after 10 s why the job waits, or how far an
    array is, in lines that begin with "offload:".

    When none of many tasks has succeeded and the first ten failed alike, the job is paused, and on a terminal
    you are asked how to go on.

    Exit status: the script's; 128+n when signal n ended it; 124 when its time was up; 2 for a mistake in
    what was asked; 123 when the job was left paused; 125 when Offload failed; 130 after Ctrl-C. An array
    exits with the status of its first failed task.
    """
    if not words and options["set_over"]:
        raise UsageError(
            "Every word was taken for a file of --over, so there is nothing to run.",
            next_step="Put -- before the script: offload run --over data/*.csv -- clean.R",
        )
    if not words:
        raise UsageError("There is nothing to run.", next_step="Name a script: offload run fit.R")
    if as_json and not (detach or show):
        raise UsageError(
            "--json needs --detach or --show, because stdout is the script's.", next_step="Add -d or --show."
        )
    plan = make_plan(words, is_command=is_command, options=_given(options), root=root)
    with connect() as api:
        if show:
            show_plan(api, plan, as_json=as_json)
            return 0
        terminal = Terminal(quiet=quiet)
        return _detach(api, plan, terminal, as_json=as_json) if detach else _run(api, plan, terminal)


def _given(options: dict[str, Any]) -> Sequence[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name in KEYS:
        value = options[f"set_{name.replace('-', '_')}"]
        texts = value if isinstance(value, tuple) else () if value in (None, False) else (value,)
        pairs += [(name, YES if text is True else text) for text in texts]
    return pairs


def _detach(api: Api, plan: Plan, terminal: Terminal, *, as_json: bool) -> int:
    job = submit(api, plan, _prepare(api, plan, terminal))
    with output(f"{job.id} was sent, and goes on. Look at it: offload status {job.id}"):
        if as_json:
            print_json(job)
        else:
            click.echo(job.id)
    return 0


def _prepare(api: Api, plan: Plan, terminal: Terminal) -> Prepared:
    with progress(terminal, "sending files") as told:
        prepared = prepare(api, plan, told)
    for notice in prepared.snapshot.notices:
        terminal.say(f"offload: {notice}", style="yellow")
    if prepared.learned and not terminal.quiet:
        terminal.say(f"offload: {prepared.learned}", style="dim")
    return prepared


def _run(api: Api, plan: Plan, terminal: Terminal) -> int:
    prepared = _prepare(api, plan, terminal)
    sent, at_rest = _Sent(api, terminal), AtRest(api, terminal)
    with Interrupts(sent.cancel) as interrupts:
        try:
            sent.job = job = submit(api, plan, prepared)
            if interrupts.pressed:
                sent.cancel()
            if terminal.is_watched:
                terminal.say(f"offload: {job.id} sent ({_sent_text(prepared)})", style="dim")
            with status_line(api, job, terminal), growth_told(api, job, terminal):
                is_shown = _show_output(api, job, terminal, at_rest)
        except LeftEarlyError:
            interrupts.settle(_SETTLE)
            return _left(sent.job, terminal)
    if at_rest.left:
        return PAUSED
    status = _end(api, sent.job, terminal, interrupted=interrupts.pressed)
    return status if is_shown else status or OWN_FAILURE


def _show_output(api: Api, job: JobView, terminal: Terminal, at_rest: AtRest) -> bool:
    """Follow the job to its end; whether all that it printed could be written."""
    try:
        show_output(api, job, terminal, at_rest=at_rest)
    except OutputError as error:
        terminal.say(f"offload: error: {error.sentence}", style="red")
        terminal.say(f"  {job.id} is waited for nevertheless. All that it prints: offload logs {job.id}")
        wait_for_end(api, job.id, at_rest=at_rest)
        return False
    return True


def _sent_text(prepared: Prepared) -> str:
    snapshot = prepared.snapshot
    return f"{number_of(snapshot.files, 'file')}, {format_size(snapshot.bytes_sent)} new"


class _Sent:
    """The job that Ctrl-C cancels, once it exists."""

    def __init__(self, api: Api, terminal: Terminal) -> None:
        self.job: JobView | None = None
        self._asked = False
        self._api = api.again()
        self._terminal = terminal

    def cancel(self) -> None:
        """Ask for the end, and tell the person."""
        if self.job is None or self._asked:
            return
        self._asked = True
        self._terminal.say(
            f"offload: cancelling {self.job.id}; press Ctrl-C again to leave at once", style="yellow"
        )
        try:
            with self._api:
                self._api.cancel(self.job.id)
        except OffloadError as error:
            self._terminal.say(f"offload: it could not be cancelled: {error.sentence}", style="red")


def _left(job: JobView | None, terminal: Terminal) -> int:
    if job is not None:
        terminal.say(
            f"offload: left; {job.id} is being cancelled. What it made: offload collect {job.id}",
            style="yellow",
        )
    return CANCELLED


def _end(api: Api, job: JobView, terminal: Terminal, *, interrupted: bool) -> int:
    try:
        status = finish(api, api.job(job.id), terminal)
    except KeyboardInterrupt:
        terminal.say(f"offload: left; bring results home with: offload collect {job.id}", style="yellow")
        return CANCELLED
    return CANCELLED if interrupted else status
