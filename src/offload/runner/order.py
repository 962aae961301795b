"""A command as the agent wants it: a shell text of assignments, and the words in ``"$@"``.

The container's own environment stays what it is; the text adds to it. A shell can't export every name that a
process may have in its environment, so those go through ``env``. Bytes are kept as they are.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from offload.runner.execute import Command

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN: Final = re.compile(r"IFS|UID|EUID|PPID|GROUPS|OPTIND|SHELLOPTS|BASHOPTS|BASH_.*|LINENO|offload_.*")
"""Variables that change how a shell reads on, or that one or another keeps for itself."""
_LONGEST: Final = 32 * os.sysconf("SC_PAGE_SIZE") - 1
"""Bytes that Linux takes as one argument or one variable, without the NUL behind it."""


def order_text(command: Command) -> bytes:
    """The file from which the agent starts a command.

    Raises:
        OSError: E2BIG, as the system would say: an argument or a variable is too long.
    """
    _demand_short(command)
    lines = [_export(name, value, soft=name in command.defaults) for name, value in _plain(command).items()]
    lines += [
        b"offload_cwd=" + _quote(str(command.cwd)),
        b"offload_stdin=" + _quote(str(command.stdin or os.devnull)),
        b"set -- " + b" ".join(map(_quote, _words(command))),
    ]
    if "=" in command.argv[0]:  # env(1) would take it for a variable
        lines.append(b"offload_reset=")
    return b"\n".join(lines) + b"\n"


def _demand_short(command: Command) -> None:
    variables = (f"{name}={value}" for name, value in command.env.items())
    if any(len(os.fsencode(text)) > _LONGEST for text in (*command.argv, *variables)):
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), command.argv[0])


def _plain(command: Command) -> dict[str, str]:
    return {name: value for name, value in command.env.items() if _can_export(name)}


def _can_export(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not _TAKEN.fullmatch(name)


def _words(command: Command) -> list[str]:
    odd = [f"{name}={value}" for name, value in command.env.items() if not _can_export(name)]
    return [*(("env", *odd) if odd else ()), *command.argv]


def _export(name: str, value: str, *, soft: bool) -> bytes:
    variable = name.encode()
    if soft:
        return b"export %b\n: ${%b=%b}" % (variable, variable, _quote(value))
    return b"export %b=%b" % (variable, _quote(value))


def _quote(text: str) -> bytes:
    return b"'" + os.fsencode(text).replace(b"'", rb"'\''") + b"'"
