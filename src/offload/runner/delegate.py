"""One command, executed by the agent in the container beside this one.

The counterpart of :mod:`~offload.runner.execute`, with the same discipline and the same promise: when it
returns, no process of the command is left. Memory is the kernel's business
here, since the container has its limit; looking tells how much it was.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.runner.agent import Agent
from offload.runner.execute import HELPERS_GRACE, LINGER, Command, Control, Ended
from offload.runner.memory import FASTEST, SLOWEST
from offload.runner.order import order_text
from offload.runner.pump import Flow
from offload.runner.tree import UNKILLABLE
from offload.runner.verdict import Cause
from offload.wire.frames import Stream

_REFUSALS: Final = {"missing": errno.ENOENT, "forbidden": errno.EACCES, "nowhere": errno.ENOENT}
_SLOWEST_LOOK: Final = 4 * SLOWEST
"""Seconds; a look costs the container about two milliseconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel counts for the container; 0 where it doesn't tell.

    Attributes:
        kills: processes that were ended for want of memory.
        cpu: seconds.
    """

    kills: int = 0
    cpu: float = 0.0


class Delegate:
    """Executes one command.

    Args:
        agent: who does it.
        command: what.
        control: how others end it.
    """

    def __init__(self, agent: Agent, command: Command, control: Control) -> None:
        self._agent = agent
        self._command = command
        self._control = control
        self._discipline = command.discipline(0.0)
        self._peak = 0
        self._pause = FASTEST
        self._looking = False
        self._refusal = ""
        self._began: float | None = None

    def run(self, flow: Flow) -> Ended:
        """Run the command to its end.

        Raises:
            OSError: it can't be started.
            AgentGone: its container ended, and nobody knows how the command did.
        """
        before = self._look()
        number, pipes = self._agent.new_run(order_text(self._command))
        flow.receive(Stream.STDOUT, _reading(pipes / "out"))
        flow.receive(Stream.STDERR, _reading(pipes / "err"))
        try:
            self._agent.order(f"run {number}")
            status = self._watch(number)
            wall = time.monotonic() - (self._began or time.monotonic())
            self._demand_started()
            clean = self._sweep()
            after = self._look()
        finally:
            self._agent.forget_run(pipes)
        killed = after.kills > before.kills
        return Ended(
            code=status,
            cause=self._discipline.cause,
            wall=wall,
            cpu=max(0.0, after.cpu - before.cpu),
            # Too fast to be looked at, but it must have had all that it may.
            peak=max(self._peak, self._command.memory or 0) if killed else self._peak,
            kernel_killed=killed,
            clean=clean,
            warned=self._discipline.warned,
        )

    def _demand_started(self) -> None:
        if not self._refusal:
            return
        number = _REFUSALS[self._refusal]
        about = self._command.cwd if self._refusal == "nowhere" else self._command.argv[0]
        raise OSError(number, os.strerror(number), about)

    # --- while it runs --------------------------------------------------------------------------------

    def _watch(self, number: int) -> int:
        """Its exit status, once it ended."""
        look_at = time.monotonic() + self._pause
        while True:
            now = time.monotonic()
            if now >= look_at:
                self._look_again()
                look_at = now + self._pause
            due = self._act(number, now)
            answer = self._agent.hear(min(look_at - now, due), self._control.fd)
            if not answer:
                self._control.heard()
            elif answer[0] == "ended":
                return int(answer[1])
            else:
                self._take(answer)

    def _act(self, number: int, now: float) -> float:
        """Send the signal that is due, and say how long nothing will be."""
        if self._began is None:  # nothing is there yet that a signal could reach
            return math.inf
        if sign := self._discipline.decide(now, will=self._control.will, over_memory=False):
            self._agent.meanwhile(f"{_name(sign)} {number}")
        due = self._discipline.due(now)
        return math.inf if due is None else due

    def _take(self, answer: list[str]) -> None:
        if answer[0] == "began":
            self._began = self._discipline.started = time.monotonic()
        elif answer[0] == "seen":
            self._looking = False
            self._note(answer)
        elif answer[0] in _REFUSALS:
            self._refusal = answer[0]

    def _look_again(self) -> None:
        if not self._looking:
            self._agent.meanwhile("look")
            self._looking = True
            self._pause = min(self._pause * 1.5, _SLOWEST_LOOK)

    # --- before and after -----------------------------------------------------------------------------

    def _look(self) -> Seen:
        return self._note(self._ask("look", "seen"))

    def _ask(self, order: str, *expected: str) -> list[str]:
        """Order something of the idle agent and wait for its answer; late answers to a look are dropped."""
        self._agent.order(order)
        while True:
            answer = self._agent.hear(None)
            if answer[0] in expected:
                return answer

    def _note(self, answer: list[str]) -> Seen:
        private, shared, kills, cpu = (int(word) if word.isdigit() else 0 for word in answer[1:])
        self._peak = max(self._peak, private + shared)
        return Seen(kills, cpu / 1e9)

    def _sweep(self) -> bool:
        """End what the command left behind; whether nothing is left."""
        untouched = self._discipline.cause is Cause.NOTHING
        if self._alone_within(LINGER if untouched else 0.0):
            return True
        if not self._discipline.killed:
            self._agent.order(_name(signal.SIGTERM))
            if self._alone_within(min(self._command.grace, HELPERS_GRACE)):
                return True
        until = time.monotonic() + UNKILLABLE
        while time.monotonic() < until:
            self._agent.order(_name(signal.SIGKILL))
            if self._alone_within(0.1):
                return True
        return False

    def _alone_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        pause = 0.001
        while self._ask("others", "some", "none") == ["some"]:
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True


def _reading(pipe: Path) -> int:
    return os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _name(number: signal.Signals) -> str:
    return number.name.removeprefix("SIG")
