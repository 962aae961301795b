"""What a task sees: the variables of the page "Architecture", built from nothing but values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from offload.model.parameters import variable_of
from offload.runner.config import Config
from offload.wire.runner_place import MARKER
from offload.wire.runner_protocol import Lease, Welcome

THREAD_COUNTS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "MC_CORES",
    "R_DATATABLE_NUM_THREADS",
)
"""Numeric libraries take every CPU they see unless these say otherwise."""
DEFAULTS: Final = (*THREAD_COUNTS, "PYTHONUNBUFFERED")
"""Variables that are set only where nobody did."""


def task_environment(
    base: Mapping[str, str],
    config: Config,
    welcome: Welcome,
    lease: Lease,
    *,
    cwd: Path,
    result: Path,
    now: float,
    values: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The environment of one attempt.

    The cluster's variables (``base``) that tasks inherit, without Offload's own, under those that the person
    sent, under those that Offload tells, ``values`` of parameters among them. ``DEFAULTS`` are set only where
    nobody did. The time limit counts from ``now``, in seconds since 1970.
    """
    seen = base if config.inherited is None else {name: base[name] for name in config.inherited & base.keys()}
    env = {name: value for name, value in seen.items() if not name.startswith("OFFLOAD_")}
    env.update({name: value for name, value in welcome.env.items() if not name.startswith("OFFLOAD_")})
    threads = str(max(1, math.ceil(welcome.cpus)))
    for name in DEFAULTS:
        env.setdefault(name, threads if name in THREAD_COUNTS else "1")
    env |= {
        "OFFLOAD_JOB": welcome.job,
        "OFFLOAD_TASK": str(lease.task),
        "OFFLOAD_TASKS": str(welcome.tasks),
        "OFFLOAD_ATTEMPT": str(lease.attempt),
        "OFFLOAD_CPUS": f"{welcome.cpus:g}",
        "OFFLOAD_GPUS": str(welcome.gpus),
        "OFFLOAD_RESULT": str(result),
        "OFFLOAD_CHECKPOINT": str(checkpoint_of(config, lease.task)),
        MARKER: config.runner,
        "PWD": str(cwd),
    }
    env |= {variable_of(name): value for name, value in values.items()}
    if welcome.memory is not None:
        env["OFFLOAD_MEMORY"] = str(welcome.memory)
    if welcome.time_limit is not None:
        env["OFFLOAD_DEADLINE"] = f"{now + welcome.time_limit:.0f}"
    if config.gpus_visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = config.gpus_visible
    return env


def checkpoint_of(config: Config, task: int) -> Path:
    """Where a task keeps what its next attempt should find."""
    return config.checkpoints / str(task)
