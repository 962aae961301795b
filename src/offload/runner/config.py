"""What a runner is told at its start: environment variables, none of which its tasks see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from offload.errors import SettingsError
from offload.wire.runner_place import (
    AGENT,
    CERTIFICATE_FILE,
    CGROUP,
    CHECKPOINTS,
    DIRECTORY,
    FILES,
    GPUS_VISIBLE,
    INHERITED,
    LAUNCHER,
    RUNNER,
    TOKEN_FILE,
)

_NEEDED: Final = (RUNNER, LAUNCHER, TOKEN_FILE, DIRECTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A runner's settings.

    Attributes:
        runner: its id.
        launcher: where it dials.
        token: bearer token of its pool.
        certificate: file with the certificate that the launcher shows; None is what the system trusts.
        directory: private to this runner.
        checkpoints: kept between the attempts of a task, and between runners where the backend can do that.
        cgroup: a delegated cgroup v2 directory without processes, or None.
        gpus_visible: what tasks get as ``CUDA_VISIBLE_DEVICES``; None leaves it alone.
        agent: a directory shared with the agent that executes the tasks; None executes them here.
        files: where each task finds its files; None is a new place for every attempt.
        inherited: names of the runner's variables that tasks see; None is all.
    """

    runner: str
    launcher: str
    token: str = field(repr=False)
    certificate: Path | None = None
    directory: Path
    checkpoints: Path
    cgroup: Path | None = None
    gpus_visible: str | None = None
    agent: Path | None = None
    files: Path | None = None
    inherited: frozenset[str] | None = None


def read_config(env: Mapping[str, str]) -> Config:
    """The settings in an environment.

    Raises:
        SettingsError: variables are missing, or the token can't be read.
    """
    if absent := [name for name in _NEEDED if not env.get(name)]:
        raise SettingsError(
            f"A runner needs {', '.join(absent)} in its environment.",
            next_step="Runners are started by a backend; see the how-to on writing one.",
        )
    directory = Path(env[DIRECTORY]).absolute()
    try:
        token = Path(env[TOKEN_FILE]).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The runner can't read its token: {error}.") from error
    return Config(
        runner=env[RUNNER],
        launcher=env[LAUNCHER],
        token=token,
        certificate=Path(env[CERTIFICATE_FILE]) if env.get(CERTIFICATE_FILE) else None,
        directory=directory,
        checkpoints=Path(env.get(CHECKPOINTS) or directory / "checkpoints"),
        cgroup=Path(env[CGROUP]) if env.get(CGROUP) else None,
        gpus_visible=env.get(GPUS_VISIBLE),
        agent=Path(env[AGENT]) if env.get(AGENT) else None,
        files=Path(env[FILES]) if env.get(FILES) else None,
        inherited=frozenset(env[INHERITED].split()) if INHERITED in env else None,
    )
