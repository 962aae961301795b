"""Commands whose help shows examples, and what is remembered of a command line that fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from offload.client.mistakes import together
from offload.client.words import is_text
from offload.errors import UsageError


@dataclass
class Invocation:
    """What is known about this command line even when it fails: whether its answers are JSON."""

    json: bool = False


class Command(click.Command):
    """A command whose help shows examples before its options, and which takes no text that can't travel."""

    def __init__(self, *args: Any, examples: Sequence[str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            UsageError: some of its texts aren't UTF-8; a path needn't be.
        """
        if mistakes := list(_odd_texts(self, ctx)):
            raise together(mistakes)
        return super().invoke(ctx)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The description, then the examples as they are typed."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(Command, click.Group):
    """A group whose help shows examples."""


def _odd_texts(command: click.Command, ctx: click.Context) -> Iterator[UsageError]:
    for param in command.params:
        value = ctx.params.get(param.name or "")
        texts = value if isinstance(value, tuple) else (value,)
        for text in texts if param.type is click.STRING else ():
            if text and not is_text(text):
                name = param.opts[-1] if isinstance(param, click.Option) else param.human_readable_name
                yield UsageError(
                    f"{name}: {text!a} isn't UTF-8 text.", next_step=f"See: {ctx.command_path} -h"
                )
