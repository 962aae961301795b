"""One attempt from its lease to its outcome.

The order is the promise: the script ends with every process of it, its results and its output reach the
launcher, and only then its end counts. The last of its output may go along with the outcome. What could not
be kept turns a success into a failure.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from offload.errors import DiskFullError, OffloadError, is_disk_full
from offload.model.last_words import last_words
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.model.use import Use
from offload.runner.agent import Agent, AgentGone
from offload.runner.checkpoint import Checkpoint
from offload.runner.config import Config
from offload.runner.crew import Crew
from offload.runner.delegate import Delegate
from offload.runner.desk import Desk
from offload.runner.environment import DEFAULTS, checkpoint_of, task_environment
from offload.runner.execute import Command, Control, Ended, Executor
from offload.runner.inputs import Input
from offload.runner.memory import CgroupMemory, Memory, WatchedMemory
from offload.runner.note import read_result
from offload.runner.patience import Dismissed, Patience
from offload.runner.pump import Flow
from offload.runner.sender import Delivery
from offload.runner.spool import Spool
from offload.runner.stage import Sent, Stage, Start
from offload.runner.tree import Kin
from offload.runner.verdict import Cause, Facts, exit_status, judge, never_started
from offload.runner.work import Workplace
from offload.wire.frames import Stream
from offload.wire.runner_protocol import Lease, Welcome

_SPACE: Final = 600.0
"""Seconds to wait for space before a task fails for the lack of it."""
_WAITS_FOR_SPACE: Final = (
    "The cluster's disk has no space left for the job's files. The script starts once there is some."
)


class Attempt:
    """Executes one lease in a clean copy of the snapshot.

    Args:
        config: of the runner.
        welcome: what the launcher said about the job.
        place: directories.
        stage: the snapshot.
        lease: which task.
        control: how others cancel, evict or drop it.
        executor: the agent in another container, or this process itself.
        crew: the threads that serve it.

    Attributes:
        last_frames: of its output, which are to go along with its outcome.
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
        executor: Agent | Executor,
        crew: Crew,
    ) -> None:
        self._config = config
        self._welcome = welcome
        self._place = place
        self._stage = stage
        self._lease = lease
        self._control = control
        self._executor = executor
        self._crew = crew
        self.last_frames = b""
        self._stdin: Path | None = None
        self._saved = checkpoint_of(config, lease.task)
        self._input = Input()
        self._spool = Spool(place.spool, task=lease.task, attempt=lease.attempt, reserve=place.reserve)

    def run(self, patience: Patience, desk: Desk) -> Outcome | None:
        """The outcome; None when the lease was lost meanwhile and nobody wants to know.

        Raises:
            AgentGone: nobody can know; what it printed is with the launcher.
        """
        token = self._lease.token
        delivery = self._crew.sender.follow(
            self._spool, token, lost=lambda: desk.lose(token), is_short=desk.is_quick
        )
        try:
            checkpoint = Checkpoint(self._saved, self._lease, patience, notice=self._notice)
            outcome = self._outcome(delivery, checkpoint)
            if not self.last_frames and self._control.will is not Cause.DROP:
                self._spool.seal()  # a script that never began has notices, too
                self.last_frames = delivery.last_frames()
        finally:
            self._spool.abandon()
            delivery.wait()
        if self._control.will is Cause.DROP:
            return None
        if outcome.reason is None:
            self._place.spare_checkpoint(self._saved)
        return outcome

    def _outcome(self, delivery: Delivery, checkpoint: Checkpoint) -> Outcome:
        try:
            start = self._set_up(checkpoint)
        except (OSError, OffloadError) as error:
            return _not_staged(error)
        crew = self._crew
        try:
            with (
                crew.watch.over(checkpoint),
                self._interrupted_once(),
                crew.pump.serve(self._spool) as flow,
            ):
                ended = self._execute(flow)
        except (OSError, subprocess.SubprocessError) as error:
            return self._refused(error)
        except AgentGone:
            checkpoint.keep()
            self._spool.seal()
            delivery.wait()
            raise
        if not ended.clean:
            self._stage.discard()
        reason = self._judge(ended)
        if reason is not None and ended.cause not in (Cause.CANCEL, Cause.DROP):
            checkpoint.keep()
        return self._bring_home(ended, reason, start, flow, delivery)

    @contextlib.contextmanager
    def _interrupted_once(self) -> Iterator[None]:
        """With ``--test-preemption``, interrupt the first attempt while the body runs."""
        after = self._welcome.test_preemption
        if after is None or self._lease.attempt > 1:
            yield
            return
        timer = threading.Timer(after, self._control.want, (Cause.PREEMPT,))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _set_up(self, checkpoint: Checkpoint) -> Start:
        """Make everything that the script needs; on a full disk wait, because what fills disks cleans up."""
        until, told = time.monotonic() + _SPACE, False
        while True:
            try:
                self._place.prepare_attempt()
                self._spool.open()
                self._place.checkpoint(self._saved)
                checkpoint.restore()
                self._stdin = self._place.task_stdin() if self._welcome.stdin else None
                self._input = self._stage.input_of(self._lease.task)
                return self._stage.set_up(self._input)
            except (OSError, DiskFullError) as error:
                full = isinstance(error, DiskFullError) or is_disk_full(error)
                if not full or self._control.will is not Cause.NOTHING or time.monotonic() > until:
                    raise
            if self._spool.is_open and not told:
                self._notice(_WAITS_FOR_SPACE)
                told = True
            select.select([self._control.fd], [], [], 1.0)

    def _execute(self, flow: Flow) -> Ended:
        if isinstance(self._executor, Agent):
            # What the container of the task has set is known there alone.
            return Delegate(self._executor, self._command({}), self._control).run(flow)
        memory = self._memory(self._executor.kin)
        try:
            return self._executor.run(self._command(os.environ), self._control, flow, memory)
        finally:
            memory.close()

    def _command(self, base: Mapping[str, str]) -> Command:
        cwd, result = self._place.files / self._welcome.directory, self._place.result
        return Command(
            argv=self._argv(),
            cwd=cwd,
            env=task_environment(
                base,
                self._config,
                self._welcome,
                self._lease,
                cwd=cwd,
                result=result,
                now=time.time(),
                values=self._input.values,
            ),
            stdin=self._stdin,
            time_limit=self._welcome.time_limit,
            grace=self._welcome.grace,
            warn=self._welcome.warn,
            memory=self._welcome.memory,
            defaults=frozenset(DEFAULTS) - self._welcome.env.keys(),
        )

    def _argv(self) -> tuple[str, ...]:
        parameters, command = self._welcome.parameters, self._welcome.command
        return parameters.command_of(command, self._input.values) if parameters else command

    def _memory(self, kin: Kin) -> Memory:
        limit = self._welcome.memory
        if self._config.cgroup is not None:
            try:
                return CgroupMemory(limit, parent=self._config.cgroup)
            except OSError as error:
                self._notice(f"The kernel can't keep the memory limit here ({error}); it is watched instead.")
        return WatchedMemory(limit, kin)

    def _refused(self, error: OSError | subprocess.SubprocessError) -> Outcome:
        """The outcome of a command that did not start."""
        if not isinstance(error, OSError) or error.filename == self._place.files / self._welcome.directory:
            return _not_staged(error)
        status, reason = never_started(self._welcome.command[0], error)
        return Outcome(exit_status=status, reason=reason)

    def _bring_home(
        self, ended: Ended, reason: Reason | None, start: Start, flow: Flow, delivery: Delivery
    ) -> Outcome:
        if self._control.will is Cause.DROP:
            return Outcome(exit_status=None)
        value, complaint = read_result(self._place.result)
        if complaint:
            self._notice(complaint)
        sent, lost = self._send_results(start)
        for notice in sent.notices:
            self._notice(notice)
        self._spool.seal()
        self.last_frames = delivery.last_frames()
        return Outcome(
            exit_status=exit_status(ended.code),
            reason=_with(_told(reason, flow.complaints), lost or flow.problem or delivery.problem),
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

    def _send_results(self, start: Start) -> tuple[Sent, str]:
        """What the launcher has, and what went wrong."""
        try:
            return self._stage.send_results(start), ""
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
                warned=ended.warned,
            )
        )

    def _notice(self, sentence: str) -> None:
        self._spool.append(Stream.NOTICE, sentence.encode())


def _not_staged(error: Exception) -> Outcome:
    sentence = f"The working directory could not be set up on the cluster: {str(error).rstrip('.')}."
    return Outcome(
        exit_status=None, reason=Reason(code=ReasonCode.STAGING, sentence=sentence, words=repr(error))
    )


def _told(reason: Reason | None, complaints: bytes) -> Reason | None:
    """A failure of the script's own, with what it said last."""
    if reason is None or reason.code not in (ReasonCode.EXIT, ReasonCode.SIGNAL):
        return reason
    return dataclasses.replace(reason, words=last_words(complaints.decode("utf-8", "replace")))


def _with(reason: Reason | None, problem: str) -> Reason | None:
    """A reason that also tells what could not be kept, which turns a success into a failure."""
    if not problem:
        return reason
    if reason is None:
        return Reason(code=ReasonCode.RESULTS_LOST, sentence=problem)
    return dataclasses.replace(reason, sentence=f"{reason.sentence} {problem}")
