"""Commands whose help shows examples, and what is remembered of a command line that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click


@dataclass
class Invocation:
    """What is known about this command line even when it fails: whether its answers are JSON."""

    json: bool = False


class Command(click.Command):
    """A command whose help shows examples before its options."""

    def __init__(self, *args: Any, examples: Sequence[str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The description, then the examples as they are typed."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(Command, click.Group):
    """A group whose help shows examples."""
