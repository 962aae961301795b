from __future__ import annotations

import errno
import signal

import pytest

from offload.model.reasons import ReasonCode
from offload.runner.verdict import Cause, Facts, exit_status, judge, never_started

GIB = 1 << 30


def test_status_0_without_interference_is_a_success():
    assert judge(Facts(code=0)) is None


def test_status_0_after_a_warning_is_a_success():
    assert judge(Facts(code=0, warned=True, time_limit=90)) is None


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        (Facts(code=3), ReasonCode.EXIT, "The script ended with exit status 3."),
        (Facts(code=127), ReasonCode.EXIT, "a command in the script was not found"),
        (Facts(code=126), ReasonCode.EXIT, "a command in the script could not be executed"),
        (Facts(code=137), ReasonCode.EXIT, "SIGKILL ended a command in the script"),
        (Facts(code=255), ReasonCode.EXIT, "The script ended with exit status 255."),
        (Facts(code=-11), ReasonCode.SIGNAL, "SIGSEGV (signal 11), a crash in compiled code"),
        (Facts(code=-9), ReasonCode.SIGNAL, "SIGKILL (signal 9), which Offload did not send"),
        (Facts(code=-15), ReasonCode.SIGNAL, "SIGTERM (signal 15)."),
        (Facts(code=-40), ReasonCode.SIGNAL, "ended by signal 40"),
        (Facts(code=-15, cause=Cause.TIMEOUT, time_limit=90), ReasonCode.TIMEOUT, "time limit of 1m 30s"),
        (
            Facts(code=-10, warned=True, time_limit=90),
            ReasonCode.SIGNAL,
            "SIGUSR1 (signal 10). Before that it",
        ),
        (Facts(code=1, warned=True, time_limit=90), ReasonCode.EXIT, "warned of its time limit of 1m 30s."),
        (Facts(code=-15, cause=Cause.CANCEL), ReasonCode.CANCELLED, "The job was cancelled"),
        (Facts(code=-9, cause=Cause.DROP), ReasonCode.CANCELLED, "The job was cancelled"),
        (Facts(code=-15, cause=Cause.EVICT), ReasonCode.EVICTED, "The cluster ended the runner"),
        (
            Facts(code=-9, cause=Cause.MEMORY, peak=5 * GIB, memory=4 * GIB),
            ReasonCode.OUT_OF_MEMORY,
            "memory limit of 4 GiB; it had reached 5 GiB. Give it more, for example `--memory 8Gi`.",
        ),
        (
            Facts(code=-9, kernel_killed=True, peak=GIB, memory=GIB),
            ReasonCode.OUT_OF_MEMORY,
            "`--memory 2Gi`",
        ),
        (Facts(code=1, kernel_killed=True, peak=GIB, memory=GIB), ReasonCode.OUT_OF_MEMORY, "1 GiB"),
    ],
)
def test_every_other_end_has_a_code_and_a_sentence(facts, code, words):
    reason = judge(facts)
    assert reason is not None
    assert reason.code is code
    assert words in reason.sentence
    assert reason.sentence.endswith(".")


@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.CANCEL, Cause.EVICT, Cause.MEMORY])
def test_what_offload_did_outranks_a_polite_exit(cause):
    assert judge(Facts(code=0, cause=cause)) is not None


def test_a_helper_that_the_kernel_killed_does_not_spoil_a_success():
    assert judge(Facts(code=0, kernel_killed=True)) is None


def test_signals_become_128_plus_n():
    assert [exit_status(0), exit_status(3), exit_status(-signal.SIGTERM)] == [0, 3, 143]


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (
            errno.ENOENT,
            127,
            "no `/opt/R/bin/Rscript`, or not the interpreter that its first line (`#!`) names",
        ),
        (errno.EACCES, 126, "not marked as executable"),
        (errno.ENOEXEC, 126, "no `#!` line"),
        (errno.E2BIG, 126, "too long"),
        (errno.EIO, 126, "Input/output error"),
    ],
)
def test_a_command_that_can_not_start_is_named(number, status, words):
    seen, reason = never_started("/opt/R/bin/Rscript", OSError(number, __import__("os").strerror(number)))
    assert (seen, reason.code) == (status, ReasonCode.COMMAND_NOT_FOUND)
    assert words in reason.sentence
