"""Fixtures: the two containers of a pod, without a cluster: a real runner and a real shell."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.container import SHELLS, Container
from fakes.launcher import FakeLauncher
from fakes.runners import RunnerProcess
from offload.model.ids import new_job_id


class Pod:
    """A runner and an agent that share a directory."""

    def __init__(self, launcher: FakeLauncher, directory: Path, shell: str) -> None:
        self.launcher = launcher
        self.runner_name = f"{new_job_id()}-0-0-pod"  # tests run at once, and find processes by it
        self.directory = directory
        self.shared = directory / "shared"
        self.files = directory / "mount" / "project"
        self.shared.mkdir(parents=True)
        self.files.mkdir(parents=True)
        self.shell = shell
        self.containers: list[Container] = []
        self.runners: list[RunnerProcess] = []

    def start(self, *, setup: str = "", **env: str) -> None:
        """Both containers, as the kubelet starts them: the runner first."""
        self.start_runner()
        self.start_container(setup=setup, **env)

    def start_runner(self) -> RunnerProcess:
        options = {"OFFLOAD_AGENT": str(self.shared), "OFFLOAD_FILES": str(self.files)}
        checkpoints = str(self.shared / "checkpoints")
        runner = RunnerProcess(
            self.launcher, self.directory, self.runner_name, OFFLOAD_CHECKPOINTS=checkpoints, **options
        )
        self.runners.append(runner)
        return runner

    def start_container(self, *, setup: str = "", **env: str) -> Container:
        self.containers.append(Container(self.shared, self.shell, setup=setup, **env))
        return self.containers[-1]

    @property
    def runner(self) -> RunnerProcess:
        return self.runners[-1]

    @property
    def container(self) -> Container:
        return self.containers[-1]

    def end(self) -> None:
        for container in self.containers:
            container.end()
        for runner in self.runners:
            with contextlib.suppress(ProcessLookupError):
                os.kill(runner.process.pid, signal.SIGKILL)
            runner.process.wait()
            runner.log.close()


@pytest.fixture
def launcher(tmp_path) -> Iterator[FakeLauncher]:
    with FakeLauncher(tmp_path / "launcher.sock") as one:
        yield one


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell in turn."""
    return request.param


@pytest.fixture
def pod_of(launcher, tmp_path) -> Iterator[Callable[[str], Pod]]:
    """A pod whose image has the named shell."""
    pods: list[Pod] = []

    def make(shell: str) -> Pod:
        pods.append(Pod(launcher, tmp_path / "pod", shell))
        return pods[-1]

    yield make
    for one in pods:
        one.end()


@pytest.fixture
def pod(pod_of) -> Pod:
    return pod_of("dash")


@pytest.fixture
def any_pod(pod_of, shell) -> Pod:
    """A pod with each shell in turn."""
    return pod_of(shell)


@pytest.fixture
def script(launcher) -> Callable[..., None]:
    """Make a shell script the job's command."""

    def set_script(text: str, **settings: object) -> None:
        launcher.set(command=("sh", "-c", text), **settings)

    return set_script


@pytest.fixture
def run(launcher):
    """Run one task in a pod to its end: the outcome."""

    def once(pod: Pod, **env: str):
        launcher.add_task()
        pod.start(**env)
        return launcher.completion().outcome

    return once
