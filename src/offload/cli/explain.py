"""``offload explain``: which rule sends a file or not. Asks no launcher."""

from __future__ import annotations

import os
from pathlib import Path

import click

from offload.cli.command import Command
from offload.cli.shared import json_option, print_json
from offload.client.mistakes import together
from offload.errors import OffloadError
from offload.model.file_names import shown
from offload.snapshot.explain import Decision, explain
from offload.wire.places import current_directory, find_places


@click.command(
    "explain",
    cls=Command,
    examples=(
        "offload explain data/big.csv",
        "echo 'data/raw/' >> .offloadignore",
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option(
    "--root", type=click.Path(path_type=Path), metavar="DIR", help="As in offload run.  [default: .]"
)
@json_option('[{"path", "exists": bool, "sent": bool, "rule": text, "decided_at": path}…]')
def explain_command(*, paths: tuple[str, ...], root: Path | None, as_json: bool) -> None:
    """Say whether a file would be sent, and which rule decides.

    Version control, virtual environments, package libraries and caches stay at home by built-in rules.
    A file .offloadignore, in the syntax of .gitignore, adds rules; `!name` takes one back.
    """
    here = current_directory()
    top = (root or here).resolve()
    own = find_places().own
    decisions, mistakes = list[tuple[str, Decision]](), list[OffloadError]()
    for path in paths:
        try:
            decisions.append((path, explain(top, here / path, own=own)))
        except OffloadError as error:
            mistakes.append(error)
    if as_json:
        print_json([_facts(path, item) for path, item in decisions])
    else:
        for path, item in decisions:
            click.echo(f"{shown(path)}: {item}")
    if mistakes:
        raise together(mistakes)


def _facts(path: str, item: Decision) -> dict[str, object]:
    decided = item.decided_at.decode("utf-8", "backslashreplace")
    plain = os.fsencode(path).decode("utf-8", "backslashreplace")
    return {
        "path": plain,
        "exists": item.exists,
        "sent": item.sent,
        "rule": item.rule,
        "decided_at": decided,
    }
