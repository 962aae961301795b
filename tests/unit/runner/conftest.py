"""Fixtures: real runner processes against a fake launcher."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from fakes.launcher import FakeLauncher
from fakes.runners import RunnerProcess
from offload.model.ids import new_job_id


@pytest.fixture
def launcher(tmp_path) -> Iterator[FakeLauncher]:
    with FakeLauncher(tmp_path / "launcher.sock") as one:
        yield one


@pytest.fixture
def start(launcher, tmp_path) -> Iterator[Callable[..., RunnerProcess]]:
    """Start runners; every process of theirs is gone when the test ends."""
    started: list[RunnerProcess] = []
    pool = f"{new_job_id()}-0"  # tests run at once, and processes are found by their runner's id

    def one(number: int = 0, **options: str) -> RunnerProcess:
        started.append(RunnerProcess(launcher, tmp_path, name=f"{pool}-{number}", **options))
        return started[-1]

    yield one
    for runner in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(runner.process.pid, signal.SIGKILL)
        runner.process.wait()
        runner.log.close()
        for pid in runner.tasks():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def script(launcher) -> Callable[[str], None]:
    """Make a shell script the job's command."""

    def set_script(text: str, **settings: object) -> None:
        launcher.set(command=("sh", "-c", text), **settings)

    return set_script


@pytest.fixture
def run(launcher, start):
    """Run one task to its end: the outcome."""

    def once(**options: str):
        launcher.add_task()
        start(**options)
        return launcher.completion().outcome

    return once
