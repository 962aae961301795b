"""How an attempt ended, in words: a pure table from what was seen and done to an exit status and a reason.

What Offload did to the script outranks how the script took it: a script that catches the SIGTERM of its
time limit and exits with 0 has still run out of time. The exit status is always the one that was seen.
"""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath
from typing import Final

from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import format_duration, format_memory

NOT_FOUND: Final = 127
"""Exit status of shells for a command that isn't there."""
NOT_EXECUTABLE: Final = 126
"""Exit status of shells for a command that can't be executed."""


class Cause(StrEnum):
    """What Offload did to a running script, and why."""

    NOTHING = "nothing"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CANCEL = "cancel"
    EVICT = "evict"
    PREEMPT = "preempt"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about an ended command.

    Attributes:
        code: exit status, or -n when signal n ended it (as ``subprocess`` tells it).
        cause: what Offload did.
        peak: bytes, of the whole process tree.
        memory: limit in bytes, or None.
        time_limit: seconds, or None.
        kernel_killed: whether the kernel ended a process for memory (cgroup v2 only).
        warned: whether it was warned of its time limit.
    """

    code: int
    cause: Cause = Cause.NOTHING
    peak: int = 0
    memory: int | None = None
    time_limit: float | None = None
    kernel_killed: bool = False
    warned: bool = False


_CANCELLED: Final = (ReasonCode.CANCELLED, "The job was cancelled while the script ran.")
_ENDED: Final = {
    Cause.CANCEL: _CANCELLED,
    Cause.DROP: _CANCELLED,
    Cause.EVICT: (ReasonCode.EVICTED, "The cluster ended the runner before the script was done."),
    Cause.PREEMPT: (
        ReasonCode.PREEMPTED,
        "The script was interrupted on purpose (--test-preemption); $OFFLOAD_CHECKPOINT has what it saved.",
    ),
}


def exit_status(code: int) -> int:
    """128 + n of a return code -n (signal n), else the code itself."""
    return 128 - code if code < 0 else code


def judge(facts: Facts) -> Reason | None:
    """Why the attempt is no success; None is a success."""
    if facts.cause is Cause.TIMEOUT:
        return _reason(ReasonCode.TIMEOUT, _timeout(facts.time_limit or 0.0))
    if facts.cause is Cause.MEMORY or (facts.kernel_killed and facts.code):
        return _reason(ReasonCode.OUT_OF_MEMORY, _memory(facts))
    if facts.cause in _ENDED:
        return _reason(*_ENDED[facts.cause])
    if facts.code == 0:
        return None
    reason = _signal(-facts.code) if facts.code < 0 else _exit(facts.code)
    return replace(reason, sentence=f"{reason.sentence} {_warned(facts)}") if facts.warned else reason


def never_started(command: str, error: OSError) -> tuple[int, Reason]:
    """Exit status and reason of a command that the cluster couldn't execute."""
    name = PurePath(command).name
    if error.errno == errno.ENOENT and "/" in command:
        sentence = (
            f"The cluster finds no `{command}`, or not the interpreter that its first line (`#!`) names. "
            "Install what is missing there, or check the path."
        )
        return NOT_FOUND, _reason(ReasonCode.COMMAND_NOT_FOUND, sentence, str(error))
    if error.errno == errno.ENOENT:
        sentence = (
            f"The cluster has no `{name}`. Install it there, choose a cluster that has it, "
            "or check the spelling of the command."
        )
        return NOT_FOUND, _reason(ReasonCode.COMMAND_NOT_FOUND, sentence, str(error))
    sentence = (
        f"The cluster can't execute `{name}`: {_WHY.get(error.errno or 0, error.strerror or str(error))}."
    )
    return NOT_EXECUTABLE, _reason(ReasonCode.COMMAND_NOT_FOUND, sentence, str(error))


_WHY: Final = {
    errno.EACCES: "it is not marked as executable (`chmod +x` at home, then send it again)",
    errno.ENOEXEC: "it is no program of this machine, and it has no `#!` line",
    errno.E2BIG: "its arguments and variables are too long",
    errno.ENOTDIR: "a part of its path is not a directory",
}


_EXIT_HINTS: Final = {
    NOT_FOUND: " That usually means that a command in the script was not found.",
    NOT_EXECUTABLE: " That usually means that a command in the script could not be executed.",
}
_SIGNALS: Final = {number.value: number.name for number in signal.Signals}
_SIGNAL_HINTS: Final = {
    "SIGKILL": ", which Offload did not send; often the machine ran out of memory",
    "SIGSEGV": ", a crash in compiled code",
    "SIGABRT": ", with which compiled code gives up",
    "SIGBUS": ", often a full disk or a truncated file",
    "SIGILL": ", often code compiled for another processor",
    "SIGFPE": ", a forbidden calculation in compiled code",
}


def _exit(status: int) -> Reason:
    hint = _EXIT_HINTS.get(status, "")
    if not hint and status - 128 in _SIGNALS:
        hint = f" That usually means that {_SIGNALS[status - 128]} ended a command in the script."
    return _reason(ReasonCode.EXIT, f"The script ended with exit status {status}.{hint}")


def _signal(number: int) -> Reason:
    name = _SIGNALS.get(number, f"signal {number}")
    hint = _SIGNAL_HINTS.get(name, "")
    return _reason(ReasonCode.SIGNAL, f"The script was ended by {name} (signal {number}){hint}.")


def _timeout(limit: float) -> str:
    return (
        f"The script was ended after its time limit of {format_duration(limit)}. "
        "Give it more with `--time`, or save progress in $OFFLOAD_CHECKPOINT."
    )


def _warned(facts: Facts) -> str:
    return f"Before that it was warned of its time limit of {format_duration(facts.time_limit or 0.0)}."


def _memory(facts: Facts) -> str:
    limit = f" of {format_memory(facts.memory)}" if facts.memory else ""
    enough = 1 << (max(facts.peak, 2 * (facts.memory or 1)) - 1).bit_length()
    more = format_memory(enough).replace(" ", "").rstrip("B")
    return (
        f"The script needed more than its memory limit{limit}; it had reached {format_memory(facts.peak)}. "
        f"Give it more, for example `--memory {more}`."
    )


def _reason(code: ReasonCode, sentence: str, words: str = "") -> Reason:
    return Reason(code=code, sentence=sentence, words=words)
