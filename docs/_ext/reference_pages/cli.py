"""The command line, from its own tree of commands."""

import inspect
from collections.abc import Iterator

import click

from offload.cli.command import Command
from offload.cli.main import offload

from .text import table

_HEAD = """# Command line

`offload COMMAND --help` prints the same. Exit statuses have [a page of their own](../exit-status.md), and so
have the [shapes of `--json`](json.md).
"""


def page() -> str:
    """The page of the command line."""
    return "\n".join([_HEAD, *(_section(path, command) for path, command in commands())])


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    yield from _below("offload", offload)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if path != "offload":
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _below(f"{path} {name}", child)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}\n", f"```text\n{usage}\n```\n", _help(command.help or "")]
    if isinstance(command, Command):
        parts.append(f"```sh\n{chr(10).join(command.examples)}\n```\n")
    params = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [record for param in params if (record := param.get_help_record(context))]
    options = [(f"`{names}`", text.replace("  [", " [")) for names, text in records]
    parts.append(table(("option", ""), options) + "\n")
    return "\n".join(parts)


def _help(text: str) -> str:
    r"""Help as Markdown; what click leaves as it is (``\b``) becomes a block."""
    blocks = []
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith("\b\n"):
            blocks.append(f"```text\n{block[2:]}\n```")
        else:
            blocks.append(block)
    return "\n\n".join(blocks) + "\n"
