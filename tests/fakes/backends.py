"""A zoo of misbehaving backends: each breaks one promise of the contract, with real runners where it has any.

They are made like any backend, from a ``BackendContext``, and keep nothing on disk that a restart would need.
``aclose`` ends no runner; the launcher releases its pools when their jobs have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fakes.runners import processes_with
from offload.backends.contract import BackendContext, Capabilities, Diagnosis, Health, Pool, admit_plainly
from offload.backends.local.forks import Forks
from offload.backends.local.processes import end_leftovers, reap, start_runner
from offload.backends.local.spawn import send_signal
from offload.model.ids import PoolId, RunnerId, runner_id
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import Reason, ReasonCode
from offload.model.spec import Spec
from offload.wire.runner_place import CHECKPOINTS, LAUNCHER, TOKEN_FILE

LOST = Reason(code=ReasonCode.RUNNER_LOST, sentence="The runner was lost.", words="zoo")

NO_FORKS = Forks()  # one that is never prepared


class ZooRunner:
    """A real runner, and what is said about it.

    Attributes:
        phase: what the backend claims.
        ended: set when its process has really ended.
    """

    def __init__(self, pool: Pool, number: int, directory: Path) -> None:
        self.id: RunnerId = runner_id(pool.id, number)
        self.pool = pool.id
        self.phase = Phase.RUNNING
        self.ended = asyncio.Event()
        self.directory = directory / self.id
        self.directory.mkdir(parents=True)
        token = directory / f"{pool.id}.token"
        token.touch(0o600)
        token.write_text(pool.token)
        self.pidfd = start_runner(
            self.id,
            self.directory,
            {
                LAUNCHER: pool.launcher,
                TOKEN_FILE: str(token),
                CHECKPOINTS: str(directory / "checkpoints"),
            },
            NO_FORKS,
        )

    def works(self) -> bool:
        """Whether a script of its is running."""
        return bool(processes_with(f"OFFLOAD_ATTEMPT_OF={self.id}"))

    def send(self, number: signal.Signals) -> None:
        send_signal(self.pidfd, number)

    def send_to_all(self, number: signal.Signals) -> None:
        """To the runner and to its script."""
        self.send(number)
        for pid in processes_with(f"OFFLOAD_ATTEMPT_OF={self.id}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class ZooBackend:
    """An honest backend without admission, for the animals below to spoil.

    Attributes:
        script_began: what a test knows of the first script; a process alone may not have come that far.
    """

    def __init__(self, context: BackendContext) -> None:
        self.capabilities = Capabilities(enforces={"memory": "not at all"})
        self.runners: list[ZooRunner] = []
        self.script_began: Callable[[], bool] = lambda: True
        self._directory = context.directory.absolute()
        self._wanted: dict[PoolId, tuple[Pool, int]] = {}
        self._queues: set[asyncio.Queue[Observation]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the contract -----------------------------------------------------------------------------

    def admit(self, spec: Spec, user: str) -> Spec:  # noqa: ARG002  part of the contract
        return admit_plainly(spec, spec.cluster)

    async def diagnose(self) -> Diagnosis:
        return Diagnosis(findings=())

    async def scale(self, pool: Pool, runners: int) -> None:
        self._wanted[pool.id] = (pool, runners)
        self._start_missing(pool.id)

    async def release(self, pool: PoolId) -> None:
        self._wanted.pop(pool, None)
        for runner in self.of(pool):
            if not runner.ended.is_set():
                runner.send_to_all(signal.SIGCONT)
                runner.send(signal.SIGKILL)
                await runner.ended.wait()
        self.runners = [one for one in self.runners if one.pool != pool]

    async def watch(self) -> AsyncIterator[Observation | Synced]:
        queue: asyncio.Queue[Observation] = asyncio.Queue()
        self._queues.add(queue)
        for runner in self.runners:
            yield self._seen(runner)
        yield Synced()
        while True:
            yield await queue.get()

    async def check(self) -> Health:
        return Health(available=True)

    async def aclose(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what animals override and use ------------------------------------------------------------

    def started(self, runner: ZooRunner) -> None:
        """A runner has just been started."""

    def of(self, pool: PoolId) -> list[ZooRunner]:
        return [one for one in self.runners if one.pool == pool]

    def say(self, runner: ZooRunner, phase: Phase) -> None:
        """Claim something about a runner; what is over is replaced."""
        runner.phase = phase
        self._emit(self._seen(runner))
        self._start_missing(runner.pool)

    async def at_work(self, runner: ZooRunner) -> None:
        """Wait until a script of the runner has begun."""
        await once(lambda: self.script_began() and runner.works())

    def keep(self, work: object) -> None:
        """Let a coroutine run beside everything."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_end(self, runner: ZooRunner) -> None:
        """The runner's process has really ended, and nothing of it is left."""
        self.say(runner, Phase.ENDED if (runner.directory / "ended").exists() else Phase.GONE)

    def _start_missing(self, pool: PoolId) -> None:
        wish = self._wanted.get(pool)
        while wish and sum(one.phase is Phase.RUNNING for one in self.of(pool)) < wish[1]:
            runner = ZooRunner(wish[0], len(self.of(pool)), self._directory)
            self.runners.append(runner)
            self._emit(self._seen(runner))
            self.keep(self._attend(runner))
            self.started(runner)

    async def _attend(self, runner: ZooRunner) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(runner.pidfd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(runner.pidfd)
        reap(runner.pidfd, NO_FORKS)
        await asyncio.to_thread(end_leftovers, runner.id, runner.directory)
        runner.ended.set()
        self.on_end(runner)

    def _seen(self, runner: ZooRunner) -> Observation:
        reason = LOST if runner.phase is Phase.GONE else None
        return Observation(pool=runner.pool, runner=runner.id, phase=runner.phase, reason=reason)

    def _emit(self, observation: Observation) -> None:
        for queue in self._queues:
            queue.put_nowait(observation)


async def once(condition: Callable[[], object]) -> None:
    """Return when a condition is true."""
    while not condition():  # noqa: ASYNC110  it is a look at other processes
        await asyncio.sleep(0.01)


class NeverStarts(ZooBackend):
    """Takes every wish and does nothing."""

    def _start_missing(self, pool: PoolId) -> None:
        pass


class DiesAtStart(ZooBackend):
    """Its runners die before they can say hello."""

    def started(self, runner: ZooRunner) -> None:
        runner.send(signal.SIGKILL)


class DiesHalfWay(ZooBackend):
    """Its first runner is killed in the middle of its first script."""

    def started(self, runner: ZooRunner) -> None:
        if runner.id.endswith("-0"):
            self.keep(self._kill(runner))

    async def _kill(self, runner: ZooRunner) -> None:
        await self.at_work(runner)
        runner.send(signal.SIGKILL)


class SaysGoneTooEarly(ZooBackend):
    """Lies about the end: its first runner is said to be gone while it still works."""

    def started(self, runner: ZooRunner) -> None:
        if runner.id.endswith("-0"):
            self.keep(self._lie(runner))

    async def _lie(self, runner: ZooRunner) -> None:
        await self.at_work(runner)
        self.say(runner, Phase.GONE)

    def on_end(self, runner: ZooRunner) -> None:
        if runner.phase is Phase.RUNNING:
            super().on_end(runner)


class SaysRunningTooLong(ZooBackend):
    """Lies about the end: its first runner is killed, and vouched for until ``tell_the_truth`` is called."""

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.truth = asyncio.Event()

    def started(self, runner: ZooRunner) -> None:
        if runner.id.endswith("-0"):
            self.keep(self._kill(runner))

    async def _kill(self, runner: ZooRunner) -> None:
        await self.at_work(runner)
        runner.send(signal.SIGKILL)

    def on_end(self, runner: ZooRunner) -> None:
        if runner.id.endswith("-0"):
            self.keep(self._wait_for_truth(runner))
        else:
            super().on_end(runner)

    async def _wait_for_truth(self, runner: ZooRunner) -> None:
        await self.truth.wait()
        super().on_end(runner)

    def tell_the_truth(self) -> None:
        self.truth.set()


class ComesBackLate(ZooBackend):
    """Its first runner freezes in the middle of its script, is said to be gone, and thaws when told to."""

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.frozen: list[ZooRunner] = []

    def started(self, runner: ZooRunner) -> None:
        if runner.id.endswith("-0"):
            self.keep(self._freeze(runner))

    async def _freeze(self, runner: ZooRunner) -> None:
        await self.at_work(runner)
        runner.send_to_all(signal.SIGSTOP)
        self.frozen.append(runner)
        self.say(runner, Phase.GONE)

    def thaw(self) -> None:
        for runner in self.frozen:
            runner.send_to_all(signal.SIGCONT)

    def on_end(self, runner: ZooRunner) -> None:
        if runner.phase is Phase.RUNNING:
            super().on_end(runner)
