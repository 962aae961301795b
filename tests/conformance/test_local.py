"""The local backend on this machine, with real runners."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fakes.launcher import TOKEN, FakeLauncher
from fakes.runners import eventually as wait_for
from fakes.runners import processes_with
from offload.backends.conformance import BackendConformance, eventually, site_of
from offload.backends.contract import BackendContext
from offload.backends.local import create
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode
from offload.model.resources import Resources
from offload.wire.runner_protocol import OrderKind


class LocalCluster:
    """This machine, said to have four CPUs."""

    token = TOKEN
    small = Resources(cpus=0.5)
    whole = Resources(cpus=4)
    too_large = Resources(cpus=5)
    patience = 30.0

    def __init__(self, directory: Path, launcher: FakeLauncher, *, forks: bool) -> None:
        self.directory = directory
        self.launcher = launcher.address
        self.forks = forks
        self.settings = {"cpus": 4, "memory": "4Gi"}

    def open(self):
        backend = create(BackendContext(cluster="local", directory=self.directory, settings=self.settings))
        if self.forks:
            backend._forks.prepare()
            assert select.select([backend._forks._socket], [], [], 30)[0]
        return backend

    def process(self, runner):
        def only_one():
            # For an instant a process that is just being executed has no environment, and one that is
            # just being forked has its parent's.
            found = processes_with(f"OFFLOAD_RUNNER={runner}")
            return found if len(found) == 1 else None

        return wait_for(only_one)[0]

    async def kill(self, runner):
        os.kill(self.process(runner), signal.SIGKILL)

    async def leftovers(self, pool):
        files = [str(path) for path in (self.directory / "pools").glob(f"{pool}*")]
        processes = []
        for number in range(20):
            for name in ("OFFLOAD_RUNNER", "OFFLOAD_ATTEMPT_OF"):
                processes += processes_with(f"{name}={pool}-{number}")
        return files + [str(pid) for pid in processes]


@pytest.fixture
def launcher(tmp_path):
    with FakeLauncher(tmp_path / "launcher.sock") as one:
        yield one


@pytest.fixture(params=["started", "forked"])
def cluster(request, tmp_path, launcher):
    """With runners that were started by themselves, and with those that the fork server makes."""
    return LocalCluster(tmp_path / "state", launcher, forks=request.param == "forked")


class TestLocalBackend(BackendConformance):
    pass


async def started(site, pool, count=1):
    await site.backend.scale(pool, count)
    return await site.alive(pool, count)


async def test_nothing_of_a_task_survives_a_killed_runner(cluster, launcher):
    """Children that left the session of the script, and its group, and cleaned their environment."""
    detached = "setsid env -i sh -c 'trap : TERM; cd .; while :; do sleep 0.1; done' & setsid sleep 1000 &"
    launcher.set(command=("sh", "-c", f"{detached} echo $$; exec sleep 1000"))
    async with site_of(cluster) as site:
        pool = site.pool()
        launcher.add_task()
        (runner,) = await started(site, pool)
        await asyncio.to_thread(launcher.wait_for, launcher.output)
        work = cluster.directory / "pools" / pool.id / "runners" / "0"
        assert len(standing_in(work / "attempt")) >= 3
        await cluster.kill(runner)
        await site.watching.until(lambda: site.watching.last(pool.id)[runner] is Phase.GONE)
        assert processes_with(f"OFFLOAD_ATTEMPT_OF={runner}") == []
        assert standing_in(work / "attempt") == []
        assert not (work / "attempt").exists()


def standing_in(directory):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/cwd").startswith(str(directory)):
                found.append(int(name))
    return found


async def test_a_persons_processes_that_look_around_are_left_alone(cluster, launcher):
    launcher.set(command=("sh", "-c", "echo up; exec sleep 1000"))
    async with site_of(cluster) as site:
        pool = site.pool()
        launcher.add_task()
        (runner,) = await started(site, pool)
        await asyncio.to_thread(launcher.wait_for, launcher.output)
        directory = cluster.directory / "pools" / pool.id / "runners" / "0"
        with person_looking_around(directory) as shell:
            await cluster.kill(runner)
            await site.watching.until(lambda: site.watching.last(pool.id)[runner] is Phase.GONE)
            assert shell.poll() is None


@contextlib.contextmanager
def person_looking_around(directory):
    """A shell at a terminal: it leads a session whose controlling terminal is a pseudo terminal."""
    leader, terminal = os.openpty()
    take = (
        "import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execlp('sleep', 'sleep', '999')"
    )
    command = [sys.executable, "-c", take]
    with subprocess.Popen(command, stdin=terminal, cwd=directory, start_new_session=True) as shell:
        try:
            wait_for(lambda: Path(f"/proc/{shell.pid}/comm").read_text() == "sleep\n")
            yield shell
        finally:
            shell.kill()
            os.close(leader)
            os.close(terminal)


async def test_a_runner_that_ends_in_order_is_seen_ended(cluster, launcher):
    async with site_of(cluster) as site:
        pool = site.pool()
        (runner,) = await started(site, pool)
        await site.backend.scale(pool, 0)
        launcher.order(OrderKind.STOP)
        await site.watching.until(lambda: site.watching.last(pool.id)[runner] is Phase.ENDED)
        await site.restart()
        await site.watching.until(lambda: site.watching.synced is not None)
        assert site.watching.last(pool.id) == {runner: Phase.ENDED}


async def test_a_runner_goes_on_while_there_is_no_launcher_and_is_adopted(cluster, launcher, tmp_path):
    flag = tmp_path / "flag"
    launcher.set(command=("sh", "-c", f"echo up; while [ ! -e {flag} ]; do sleep 0.02; done; echo done"))
    async with site_of(cluster) as site:
        pool = site.pool()
        launcher.add_task()
        before = await started(site, pool)
        await asyncio.to_thread(launcher.wait_for, launcher.output)
        await site.restart()
        assert await site.alive(pool, 1) == before
        flag.touch()
        completion = await asyncio.to_thread(launcher.completion)
        assert completion.outcome.exit_status == 0
        assert launcher.output() == b"up\ndone\n"


async def test_release_gives_a_task_its_grace(cluster, launcher):
    launcher.set(command=("sh", "-c", "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done"))
    async with site_of(cluster) as site:
        pool = site.pool()
        launcher.add_task()
        await started(site, pool)
        await asyncio.to_thread(launcher.wait_for, launcher.output)
        await site.backend.release(pool.id)
        assert launcher.output() == b"up\nbye\n"


async def test_release_ends_a_runner_that_does_not_react(cluster, launcher):
    async with site_of(cluster) as site:
        pool = site.pool()
        (runner,) = await started(site, pool)
        os.kill(cluster.process(runner), signal.SIGSTOP)
        await site.backend.release(pool.id)
        assert await cluster.leftovers(pool.id) == []


async def test_a_release_that_was_interrupted_is_taken_up_again(cluster, launcher):
    async with site_of(cluster) as site:
        pool = site.pool()
        (runner,) = await started(site, pool)
        os.kill(cluster.process(runner), signal.SIGSTOP)
        release = asyncio.create_task(site.backend.release(pool.id))
        await asyncio.sleep(0)
        await site.restart()
        with contextlib.suppress(asyncio.CancelledError):
            await release
        await eventually(lambda: gone(cluster, pool.id), 30)


async def gone(cluster, pool):
    return await cluster.leftovers(pool) == []


async def test_secrets_are_in_no_argument_and_in_no_environment(cluster, launcher, monkeypatch):
    monkeypatch.setenv("OFFLOAD_TOKEN", "the launcher's own secret")
    launcher.set(command=("env",))
    async with site_of(cluster) as site:
        pool = site.pool()
        launcher.add_task()
        (runner,) = await started(site, pool)
        await asyncio.to_thread(launcher.completion)
        pid = cluster.process(runner)
        told = read(f"/proc/{pid}/environ") + read(f"/proc/{pid}/cmdline")
        for secret in (TOKEN.encode(), b"the launcher's own secret"):
            assert secret not in told
            assert secret not in launcher.output()
        token = cluster.directory / "pools" / pool.id / "token"
        assert token.read_text() == TOKEN
        assert token.stat().st_mode & 0o077 == 0


def read(path):
    return Path(path).read_bytes()


async def test_waiting_is_told_with_what_is_missing_and_that_it_is_over(cluster, launcher):
    async with site_of(cluster) as site:
        first, second = site.pool(Resources(cpus=3)), site.pool(Resources(cpus=2))
        await started(site, first)
        await site.backend.scale(second, 1)
        await site.watching.until(lambda: site.watching.codes(second.id) == [ReasonCode.WAITING_FOR_CAPACITY])
        (notice,) = [one for one in site.watching.seen if one.pool == second.id]
        assert notice.reason.sentence == (
            "Waits for 2 CPUs on this machine: 1 CPU and 1 GiB are free, 1 other runner is at work."
        )
        await site.backend.release(first.id)
        await site.alive(second, 1)
        about_pool = [one for one in site.watching.seen if one.pool == second.id and one.runner is None]
        assert about_pool[-1].phase is Phase.RUNNING


async def test_free_capacity_is_what_runners_leave(cluster, launcher):
    async with site_of(cluster) as site:
        await started(site, site.pool(Resources(cpus=1.5, memory=1 << 30)))
        health = await site.backend.check()
        assert health.capacity == Resources(cpus=4, memory=4 << 30, gpus=0)
        assert health.free == Resources(cpus=2.5, memory=3 << 30, gpus=0)


async def test_each_task_sees_its_own_gpus(cluster, launcher):
    launcher.set(command=("sh", "-c", "echo gpus=$CUDA_VISIBLE_DEVICES; while :; do sleep 0.05; done"))
    cluster.settings = {"cpus": 4, "gpus": 3}
    async with site_of(cluster) as site:
        for index, gpus in ((1, 2), (2, 1), (3, 0)):
            launcher.add_task(index)
            await started(site, site.pool(Resources(cpus=0.5, gpus=gpus)))
            await asyncio.to_thread(launcher.wait_for, lambda index=index: launcher.output(task=index))
        assert [launcher.output(task=index) for index in (1, 2, 3)] == [
            b"gpus=0,1\n",
            b"gpus=2\n",
            b"gpus=\n",
        ]


async def test_runners_that_die_at_once_are_started_ever_more_slowly(cluster, launcher, tmp_path):
    async with site_of(cluster) as site:
        pool = site.pool()
        for _ in range(3):
            (runner,) = await started(site, pool)
            await cluster.kill(runner)
            await site.watching.until(lambda runner=runner: site.watching.last(pool.id)[runner] is Phase.GONE)
        local = site.backend._pools[pool.id]
        ends = [one.over.at for one in local.runners.values() if one.over]
        starts = [one.admitted.at for one in local.runners.values()]
        pauses = [start - end for start, end in zip(starts[1:], ends, strict=False)]
        assert pauses[0] >= 1
        assert pauses[1] >= 2
        assert local.not_before() >= ends[-1] + 4


async def test_the_runners_of_the_next_job_are_forked(cluster, launcher, monkeypatch):
    monkeypatch.setattr("offload.backends.local.backend._PAUSE", 0.0)
    async with site_of(cluster) as site:
        first, second = site.pool(), site.pool()
        await started(site, first)
        await site.backend.release(first.id)
        await eventually(partial(can_fork, site.backend._forks), 30)
        (runner,) = await started(site, second)
        parent = read(f"/proc/{cluster.process(runner)}/stat").rpartition(b")")[2].split()[1]
        assert int(parent) != os.getpid()


async def can_fork(forks):
    return forks._can_fork()
