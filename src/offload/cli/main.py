"""``offload``: the commands, loaded one at a time, and the one place where errors become words.

A command is imported only when it is used, so ``offload --help`` pays for none of them. Every mistake ends
as one sentence and a next step on stderr, with the exit status of its class; a failure of Offload's own
leaves its traceback in a file.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from offload.cli.command import Group, Invocation
from offload.cli.failure import report_failure
from offload.cli.terminal import BROKEN_PIPE, OutputClosedError

SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Run": {
        "run": ("run", "Send a script with its directory, show its output, bring results home."),
        "rerun": ("act", "Run a job, or what failed of it, once more, with the files it had."),
    },
    "Look": {
        "jobs": ("jobs", "List jobs, newest first."),
        "status": ("status", "Show a job: state, what was asked, what was used."),
        "logs": ("logs", "Show what a job printed."),
        "table": ("table", "Show a job's tasks as a table: parameters, state, use, results."),
        "failures": ("failures", "Group a job's failed tasks by cause, the most frequent first."),
        "why": ("status", "Say in a sentence why a job waits, failed or runs."),
    },
    "Act": {
        "wait": ("act", "Wait for a job to end; exit with its status."),
        "collect": ("act", "Bring a job's results home."),
        "pause": ("pause", "Begin no more of a job's tasks until it is resumed."),
        "resume": ("pause", "Let a paused job go on."),
        "cancel": ("act", "End a job; what it made until then is kept."),
    },
    "Set up": {
        "explain": ("explain", "Say whether a file would be sent, and which rule decides."),
        "clusters": ("clusters", "List the clusters, what fits there and how limits are kept."),
        "launcher": ("launcher", "Look after the launcher of this machine."),
        "completion": ("completion", "Print what makes a shell complete offload's commands."),
        "version": ("version", "Print the version."),
    },
}
"""Every command by section: the module that holds it, and its line in the help."""
COMMANDS: Final = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Commands(Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's form
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's form
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"offload.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words name, or an error that suggests near ones."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would make of a broken pipe an exit status that says nothing."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise OutputClosedError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's form
        """The commands by section, without importing one."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()], col_max=12)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The names that begin so, without importing a command."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only in a completion

        named = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return named or click.Command.shell_complete(self, ctx, incomplete)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's form
    if value:
        ctx.invoke(Commands.get_command(offload, ctx, "version") or offload)
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        "offload run fit.R                          run an R script elsewhere, as if it ran here",
        "offload run --cpus 4 --memory 8Gi fit.py",
        "offload run -- make -j4                    run any command",
    ),
    epilog="Every command has examples: offload run --help",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def offload() -> None:
    """Send any script to a cluster, with just what it needs, and get everything back."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    invocation = Invocation()
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        result = offload.main(args, prog_name="offload", standalone_mode=False, obj=invocation)
        sys.stdout.flush()
    except (BrokenPipeError, OutputClosedError):
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # noqa: BLE001  everything must end in words
        return report_failure(error, invocation, os.environ)
    return result if isinstance(result, int) else 0
