"""One attempt from its lease to its outcome.

The order is the promise: the script ends with every process of it, its output reaches the launcher, then its
results do, and only then an outcome exists. What could not be kept turns a success into a failure.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess

from offload.errors import OffloadError
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.use import Use
from offload.runner.config import Config
from offload.runner.desk import Desk
from offload.runner.environment import checkpoint_of, task_environment
from offload.runner.execute import Command, Control, Ended, execute
from offload.runner.memory import CgroupMemory, Memory, WatchedMemory
from offload.runner.note import read_result
from offload.runner.patience import Dismissed, Patience
from offload.runner.pump import Pump
from offload.runner.sender import Sender
from offload.runner.spool import Spool
from offload.runner.stage import Sent, Stage
from offload.runner.verdict import Cause, Facts, exit_status, judge, never_started
from offload.runner.work import Workplace
from offload.snapshot.checkout import Pristine
from offload.wire.frames import Stream
from offload.wire.runner_protocol import Lease, Welcome
from offload.wire.trees import remove_tree


class Attempt:
    """Executes one lease in a clean copy of the snapshot.

    Args:
        config: of the runner.
        welcome: what the launcher said about the job.
        place: directories.
        stage: the snapshot.
        lease: which task.
        control: how others cancel, evict or drop it.
    """

    def __init__(
        self,
        config: Config,
        welcome: Welcome,
        *,
        place: Workplace,
        stage: Stage,
        lease: Lease,
        control: Control,
    ) -> None:
        self._config = config
        self._welcome = welcome
        self._place = place
        self._stage = stage
        self._lease = lease
        self._control = control
        self._files = place.attempt / "files"
        self._result = place.attempt / "result.json"
        self._spool = Spool(place.attempt / "spool", task=lease.task, attempt=lease.attempt)

    def run(self, patience: Patience, desk: Desk) -> Outcome | None:
        """The outcome; None when the lease was lost meanwhile and nobody wants to know."""
        sender = Sender(
            self._spool,
            patience,
            self._lease.token,
            lost=lambda: desk.lose(self._lease.token),
            dismissed=desk.dismiss,
        )
        sender.start()
        try:
            outcome = self._outcome(sender)
        finally:
            self._spool.abandon()
            sender.join()
            remove_tree(self._place.attempt)
        return None if self._control.will is Cause.DROP else outcome

    def _outcome(self, sender: Sender) -> Outcome:
        try:
            copied = self._stage.copy(self._files)
            checkpoint_of(self._config, self._lease.task).mkdir(parents=True, exist_ok=True)
        except (OSError, OffloadError) as error:
            return _not_staged(error)
        pump = Pump(self._spool)
        memory = self._memory()
        try:
            ended = execute(self._command(), self._control, pump, memory)
        except (OSError, subprocess.SubprocessError) as error:
            pump.finish()
            return self._refused(error)
        finally:
            memory.close()
        return self._bring_home(ended, copied, pump, sender)

    def _command(self) -> Command:
        cwd = self._files / self._welcome.directory
        return Command(
            argv=self._welcome.command,
            cwd=cwd,
            env=task_environment(
                os.environ, self._config, self._welcome, self._lease, cwd=cwd, result=self._result
            ),
            stdin=self._place.stdin if self._welcome.stdin else None,
            time_limit=self._welcome.time_limit,
            grace=self._welcome.grace,
        )

    def _memory(self) -> Memory:
        limit = self._welcome.memory
        if self._config.cgroup is not None:
            try:
                return CgroupMemory(limit, parent=self._config.cgroup)
            except OSError as error:
                self._notice(f"The kernel can't keep the memory limit here ({error}); it is watched instead.")
        return WatchedMemory(limit, root=os.getpid())

    def _refused(self, error: OSError | subprocess.SubprocessError) -> Outcome:
        """The outcome of a command that did not start."""
        if not isinstance(error, OSError) or error.filename == self._files / self._welcome.directory:
            return _not_staged(error)
        status, reason = never_started(self._welcome.command[0], error)
        return Outcome(exit_status=status, reason=reason)

    def _bring_home(self, ended: Ended, copied: Pristine, pump: Pump, sender: Sender) -> Outcome:
        if self._control.will is Cause.DROP:
            return Outcome(exit_status=None)
        value, complaint = read_result(self._result)
        if complaint:
            self._notice(complaint)
        sent, lost = self._send_results(copied)
        for notice in sent.notices:
            self._notice(notice)
        self._spool.seal()
        sender.join()
        return Outcome(
            exit_status=exit_status(ended.code),
            reason=_with(self._judge(ended), lost or pump.problem or sender.problem),
            use=Use(
                wall=ended.wall,
                cpu=ended.cpu,
                peak_memory=ended.peak,
                bytes_in=self._stage.claim_bytes(),
                bytes_out=sent.size + self._spool.bytes_in,
            ),
            results=sent.results,
            result=value,
        )

    def _send_results(self, copied: Pristine) -> tuple[Sent, str]:
        """What the launcher has, and what went wrong."""
        try:
            return self._stage.send_results(self._files, copied), ""
        except Dismissed:
            self._control.want(Cause.DROP)
            return Sent(), ""
        except (OSError, OffloadError) as error:
            return Sent(), f"The files that the script made could not be kept: {str(error).rstrip('.')}."

    def _judge(self, ended: Ended) -> Reason | None:
        return judge(
            Facts(
                code=ended.code,
                cause=ended.cause,
                peak=ended.peak,
                memory=self._welcome.memory,
                time_limit=self._welcome.time_limit,
                kernel_killed=ended.kernel_killed,
            )
        )

    def _notice(self, sentence: str) -> None:
        self._spool.append(Stream.NOTICE, sentence.encode())


def _not_staged(error: Exception) -> Outcome:
    sentence = f"The working directory could not be set up on the cluster: {str(error).rstrip('.')}."
    return Outcome(
        exit_status=None, reason=Reason(code=ReasonCode.STAGING, sentence=sentence, words=repr(error))
    )


def _with(reason: Reason | None, problem: str) -> Reason | None:
    """A reason that also tells what could not be kept, which turns a success into a failure."""
    if not problem:
        return reason
    if reason is None:
        return Reason(code=ReasonCode.RESULTS_LOST, sentence=problem)
    return dataclasses.replace(reason, sentence=f"{reason.sentence} {problem}")
