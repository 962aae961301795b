"""``offload completion``: completion for bash, zsh and fish, job ids included."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from offload.cli.command import Command


@click.command(
    "completion",
    cls=Command,
    examples=(
        'bash:  eval "$(offload completion bash)"          in ~/.bashrc',
        'zsh:   eval "$(offload completion zsh)"           in ~/.zshrc',
        "fish:  offload completion fish | source           in ~/.config/fish/config.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete offload's commands.

    Commands, options and the ids of jobs complete.
    """
    kind = get_completion_class(shell)
    if kind is None:  # click knows all three
        raise click.UsageError(f"No completion for {shell}.")
    click.echo(kind(ctx.find_root().command, {}, "offload", "_OFFLOAD_COMPLETE").source())
