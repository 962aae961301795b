"""Errors as words on stderr, or as JSON when ``--json`` was asked for, and their exit statuses."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping

import click

from offload.cli.command import Invocation
from offload.cli.terminal import Terminal, output_error
from offload.errors import OWN_FAILURE, OffloadError, UsageError


def report_failure(error: BaseException, invocation: Invocation, environ: Mapping[str, str]) -> int:
    """Tell the person what went wrong; returns the exit status."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else OWN_FAILURE
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return 130
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError.exit_status
    known = _as_ours(error) or _unexpected(error, environ)
    if invocation.json:
        Terminal().say(json.dumps(known.to_json()))
    else:
        show_error(known)
    return known.exit_status


def show_error(error: OffloadError) -> None:
    """The sentence and the next step."""
    terminal = Terminal()
    terminal.say(f"offload: error: {error.sentence}", style="red")
    for line in error.next_step.splitlines():
        terminal.say(f"  {line}")


def _as_ours(error: BaseException) -> OffloadError | None:
    if isinstance(error, OffloadError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "offload"
        return UsageError(error.format_message(), next_step=f"See: {path} --help")
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    return output_error(error) if isinstance(error, OSError) else None


def _unexpected(error: BaseException, environ: Mapping[str, str]) -> OffloadError:
    text = "".join(traceback.format_exception(error))
    if environ.get("OFFLOAD_DEBUG"):
        sys.stderr.write(text)
    sentence = f"Offload failed, and this is a mistake of ours: {type(error).__name__}: {error}"
    return OffloadError(sentence, next_step=_keep(text))


def _keep(text: str) -> str:
    from offload.wire.places import find_places  # noqa: PLC0415  a command that goes well needn't pay

    data = find_places().data
    folder = data / "tracebacks"
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        path.write_text(text)
    except OSError:
        return "OFFLOAD_DEBUG=1 shows where it happened."
    return f"Where it happened is in {path}; please report it."
