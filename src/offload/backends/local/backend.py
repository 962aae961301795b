"""The local backend: wishes in, detached runners out, observations back.

All of it can be rebuilt from the files of the cluster's directory, so the launcher may end or die at any
point: the next one finds the same pools, adopts the runners that live, clears up after the others, goes
on. Decisions are in :mod:`.admission` and :mod:`.pool`; this module only carries them out, on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from offload.backends.contract import Capabilities, Diagnosis, Finding, Health, Pool, admit_plainly
from offload.backends.local.admission import Room, admit, refusal
from offload.backends.local.cgroup import Delegation
from offload.backends.local.forks import Forks
from offload.backends.local.pool import LocalPool, LocalRunner, restore
from offload.backends.local.processes import (
    end_leftovers,
    find_runner,
    last_words,
    reap,
    start_runner,
)
from offload.backends.local.spawn import send_signal
from offload.backends.local.state import Admitted, Over, PoolFiles, Wish, all_pools
from offload.model.ids import PoolId
from offload.model.observation import Observation, Phase, Synced
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources, format_cpus, format_gpus, format_memory
from offload.model.spec import Spec
from offload.wire.runner_place import (
    CGROUP,
    CHECKPOINTS,
    ENDED,
    GPUS_VISIBLE,
    INHERITED,
    LAUNCHER,
    TOKEN_FILE,
)

SESSION_ENV: Final = (
    "PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY",
    "LC_NUMERIC", "LC_TIME", "TZ", "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_EXE",
    "CONDA_PYTHON_EXE", "CONDA_SHLVL", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "R_HOME", "R_LIBS",
    "R_LIBS_USER", "R_LIBS_SITE", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER",
    "R_MAKEVARS_USER", "RENV_PATHS_CACHE", "RENV_PATHS_ROOT", "JULIA_PROJECT", "JULIA_DEPOT_PATH",
    "JULIA_LOAD_PATH", "JAVA_HOME", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH", "CC",
    "CXX", "FC", "MAKEFLAGS", "CUDA_HOME", "QUARTO_PATH", "RSTUDIO_PANDOC", "http_proxy", "https_proxy",
    "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
"""Session variables that make a script on this machine behave as it does in the person's terminal."""
ACCOUNT_ENV: Final = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER", "XDG_RUNTIME_DIR")
"""What a script sees of the launcher's own environment: the account's. The rest is that of whichever session
happened to start the launcher, perhaps days ago."""
_RETRY: Final = 5.0
"""Seconds until starting is tried again after this machine refused it."""
_SLACK: Final = 5.0
"""Seconds beyond the grace period until a runner that should end is killed."""
_PAUSE: Final = 1.0
"""Seconds after a job until the next one is prepared for."""
_log = logging.getLogger(__name__)


class LocalBackend:
    """This machine as a cluster.

    Args:
        directory: where everything is remembered.
        capacity: what tasks may use together.
        patience: seconds that smaller tasks may pass one that doesn't fit.
        delegation: a delegated cgroup v2, or None.
    """

    def __init__(
        self, directory: Path, *, capacity: Resources, patience: float, delegation: Delegation | None
    ) -> None:
        self.capabilities = Capabilities(
            enforces={
                "memory": "by the kernel (cgroup v2)"
                if delegation
                else "the process tree is watched every 0.05 to 0.25 s and ended when it needs more",
                "time": "wall time, by the runner",
                "cpus": "at admission: the machine is never promised twice; running tasks aren't throttled",
                "gpus": "at admission, and CUDA_VISIBLE_DEVICES names the task's own",
            },
            session_env=SESSION_ENV,
        )
        self._directory = directory.absolute()
        self._capacity = capacity
        self._patience = patience
        self._delegation = delegation
        self._pools: dict[PoolId, LocalPool] = {}
        self._restored = False
        self._watchers: set[asyncio.Queue[Observation]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._releases: dict[PoolId, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._forks = Forks()
        self._preparing: asyncio.TimerHandle | None = None

    # --- the contract -----------------------------------------------------------------------------

    def admit(self, spec: Spec, user: str) -> Spec:  # noqa: ARG002  everybody may ask for the same
        """The spec as it is; this machine has no images, profiles, mounts or queues."""
        return admit_plainly(spec, spec.cluster)

    async def diagnose(self) -> Diagnosis:
        """What this machine can give, and how limits are kept."""
        capacity = self._capacity
        memory, gpus = format_memory(capacity.memory or 0), format_gpus(capacity.gpus)
        words = f"{format_cpus(capacity.cpus)}, {memory} memory and {gpus} for all tasks together."
        kept = (
            Finding(about=f"limit of {limit}", works=True, sentence=f"{how[0].upper()}{how[1:]}.")
            for limit, how in self.capabilities.enforces.items()
        )
        return Diagnosis(findings=(Finding(about="capacity", works=True, sentence=words), *kept))

    async def scale(self, pool: Pool, runners: int) -> None:
        """Record how many runners are wanted, and start what is missing; one that runs is never ended."""
        self._restore()
        if pool.id in self._releases:
            await self.release(pool.id)
        wish = Wish(
            pool=pool.id,
            user=pool.user,
            resources=pool.resources,
            launcher=pool.launcher,
            submitted=pool.submitted,
            grace=pool.grace,
            wanted=runners,
        )
        files = PoolFiles(self._directory / "pools" / pool.id)
        local = self._pools.setdefault(pool.id, LocalPool(files, wish))
        local.wish = wish
        files.write_wish(local.wish, pool.token)
        self._admit()

    async def release(self, pool: PoolId) -> None:
        """End every runner of the pool and remove its files; returns when nothing is left."""
        self._restore()
        local = self._pools.get(pool)
        if local is None:
            return
        task = self._releases.get(pool)
        if task is None:
            task = self._releases[pool] = self._spawn(self._release(local))
        await asyncio.shield(task)

    async def watch(self) -> AsyncIterator[Observation | Synced]:
        """Everything that is, then :class:`Synced`, then every change."""
        self._restore()
        queue: asyncio.Queue[Observation] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            for observation in self._everything():
                yield observation
            yield Synced()
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def check(self) -> Health:
        """Capacity, and what is free of it."""
        self._restore()
        room = Room.left(self._capacity, self._running())
        free = Resources(
            cpus=max(0.0, round(room.cpus, 3)), memory=max(0, int(room.memory)), gpus=max(0, room.gpus)
        )
        return Health(available=True, capacity=self._capacity, free=free)

    async def aclose(self) -> None:
        """Stop watching; runners go on."""
        for timer in (self._timer, self._preparing):
            if timer:
                timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in self._pools.values():
            for runner in pool.alive():
                if (pidfd := self._let_go(runner)) is not None:
                    os.close(pidfd)
        self._pools.clear()
        self._forks.close()

    # --- what is remembered -----------------------------------------------------------------------

    def _restore(self) -> None:
        """Once: find again what earlier launchers left."""
        if self._restored:
            return
        self._restored = True
        for files in all_pools(self._directory):
            if pool := restore(files):
                self._pools[pool.id] = pool
                for runner in pool.alive():
                    self._adopt(pool, runner)
                if pool.wish.released:
                    self._releases[pool.id] = self._spawn(self._release(pool))
        self._admit()

    def _adopt(self, pool: LocalPool, runner: LocalRunner) -> None:
        """Watch a runner that another launcher started, or clear up after it."""
        pidfd = find_runner(pool.runner_id(runner), pool.files.runner(runner.number))
        if pidfd is None:
            self._spawn(self._conclude(pool, runner, ""))
        else:
            self._attend(pool, runner, pidfd)

    # --- runners ----------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Start what may start now, and say why the rest waits."""
        now = time.time()
        fitting = [pool for pool in self._pools.values() if not self._refuse(pool)]
        requests = [request for pool in fitting if (request := pool.request(now))]
        admission = admit(self._capacity, self._running(), requests, now=now, patience=self._patience)
        pauses = [pause for pool in fitting if (pause := pool.not_before()) > now]
        for pool in fitting:
            self._tell(pool, admission.waiting.get(pool.id))
        try:
            for pool_id in admission.start:
                self._start(self._pools[pool_id])
        except OSError as error:
            _log.warning("A runner could not be started: %s", error)
            words = f"A runner could not be started on this machine: {error}. It is tried again."
            self._tell(self._pools[pool_id], Reason(code=ReasonCode.UNKNOWN, sentence=words))
            pauses.append(now + _RETRY)
        self._wake_at(min([*pauses, *([admission.recheck] if admission.recheck else [])], default=None))

    def _wake_at(self, when: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if when is not None:
            delay = max(0.05, when - time.time())
            self._timer = asyncio.get_running_loop().call_later(delay, self._admit)

    def _refuse(self, pool: LocalPool) -> bool:
        reason = refusal(pool.wish.resources, self._capacity)
        if reason and pool.wish.wanted:
            self._tell(pool, reason)
        return reason is not None

    def _start(self, pool: LocalPool) -> None:
        number = pool.next_number()
        admitted = Admitted(at=time.time(), gpus=self._free_gpus(pool.wish.resources.gpus))
        runner = LocalRunner(number, admitted)
        pool.files.write_admitted(number, admitted)
        settings = {
            LAUNCHER: pool.wish.launcher,
            TOKEN_FILE: str(pool.files.token),
            CHECKPOINTS: str(pool.files.checkpoints),
            INHERITED: " ".join(ACCOUNT_ENV),
        }
        if self._capacity.gpus:
            settings[GPUS_VISIBLE] = ",".join(map(str, admitted.gpus))
        if self._delegation:
            settings[CGROUP] = str(self._delegation.make(pool.runner_id(runner)))
        pidfd = start_runner(pool.runner_id(runner), pool.files.runner(number), settings, self._forks)
        pool.runners[number] = runner
        self._attend(pool, runner, pidfd)
        self._emit(pool.seen(runner))

    def _attend(self, pool: LocalPool, runner: LocalRunner, pidfd: int) -> None:
        runner.pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._on_end, pool, runner)

    def _on_end(self, pool: LocalPool, runner: LocalRunner) -> None:
        pidfd = self._let_go(runner)
        words = reap(pidfd, self._forks) if pidfd is not None else ""
        self._spawn(self._conclude(pool, runner, words))

    @staticmethod
    def _let_go(runner: LocalRunner) -> int | None:
        pidfd, runner.pidfd = runner.pidfd, None
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
        return pidfd

    async def _conclude(self, pool: LocalPool, runner: LocalRunner, words: str) -> None:
        """A runner's process has ended: end what it left, then say so."""
        directory, name = pool.files.runner(runner.number), pool.runner_id(runner)
        await asyncio.to_thread(end_leftovers, name, directory)
        if self._delegation:
            self._delegation.remove(name)
        over = _how_it_ended(directory, words)
        try:
            await asyncio.to_thread(pool.files.write_over, runner.number, over)
        except OSError as error:  # a full disk; the next launcher will look again
            _log.warning("The end of runner %s could not be remembered: %s", name, error)
        runner.over = over
        runner.done.set()
        self._emit(pool.seen(runner))
        self._admit()

    @staticmethod
    def _ask_to_leave(runner: LocalRunner) -> None:
        if runner.pidfd is not None:
            send_signal(runner.pidfd, signal.SIGTERM)

    async def _release(self, pool: LocalPool) -> None:
        pool.wish = replace(pool.wish, wanted=0, released=True)
        pool.files.mark_released(pool.wish)
        waits = [asyncio.ensure_future(one.done.wait()) for one in pool.alive()]
        for runner in pool.alive():
            self._ask_to_leave(runner)
        if waits:
            await asyncio.wait(waits, timeout=pool.wish.grace + _SLACK)
            for runner in pool.alive():
                if runner.pidfd is not None:
                    send_signal(runner.pidfd, signal.SIGKILL)
            await asyncio.gather(*waits)
        await asyncio.to_thread(pool.files.remove)
        del self._pools[pool.id]
        del self._releases[pool.id]
        self._admit()
        self._prepare()

    def _prepare(self) -> None:
        """Who has seen one job end often starts another, with a change: its runners shall start sooner."""
        if self._preparing:
            self._preparing.cancel()
        self._preparing = asyncio.get_running_loop().call_later(_PAUSE, self._forks.prepare)

    # --- small things -----------------------------------------------------------------------------

    def _running(self) -> list[Resources]:
        return [pool.wish.resources for pool in self._pools.values() for _ in pool.alive()]

    def _free_gpus(self, count: int) -> tuple[int, ...]:
        taken = {gpu for pool in self._pools.values() for one in pool.alive() for gpu in one.admitted.gpus}
        return tuple([gpu for gpu in range(self._capacity.gpus) if gpu not in taken][:count])

    def _everything(self) -> list[Observation]:
        seen = []
        for pool in self._pools.values():
            seen += [pool.seen(runner) for runner in pool.runners.values()]
            seen += [pool.notice] if pool.notice else []
        return seen

    def _tell(self, pool: LocalPool, reason: Reason | None) -> None:
        """Say once why a pool waits, and once that it doesn't any more (None)."""
        final = reason is not None and reason.code is ReasonCode.REFUSED
        notice = (
            Observation(pool=pool.id, phase=Phase.WAITING, reason=reason, final=final) if reason else None
        )
        if notice and notice != pool.notice:
            self._emit(notice)
        elif pool.notice and not notice:
            self._emit(Observation(pool=pool.id, phase=Phase.RUNNING))
        pool.notice = notice

    def _emit(self, observation: Observation) -> None:
        for queue in self._watchers:
            queue.put_nowait(observation)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("The local cluster failed to clear up.", exc_info=error)


def _how_it_ended(directory: Path, words: str) -> Over:
    if (directory / ENDED).exists():
        return Over(at=time.time(), phase=Phase.ENDED)
    told = "; ".join(part for part in (words, last_words(directory)) if part)
    sentence = "The process beside the task ended without a word; it was killed, or the machine restarted."
    reason = Reason(code=ReasonCode.RUNNER_LOST, sentence=sentence, words=told)
    return Over(at=time.time(), phase=Phase.GONE, reason=reason)
