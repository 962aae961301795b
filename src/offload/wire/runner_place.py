"""What a runner and the backend beside it agree on without talking: names of variables and of files.

A backend starts ``python -P -m offload.runner`` with the variables below. The runner leaves a file in its
private directory when it ends in order: if its process is gone and the file isn't there, it was lost.
"""

from __future__ import annotations

from typing import Final

RUNNER: Final = "OFFLOAD_RUNNER"
"""The runner's id."""
LAUNCHER: Final = "OFFLOAD_LAUNCHER"
"""Where it dials."""
TOKEN_FILE: Final = "OFFLOAD_TOKEN_FILE"  # noqa: S105  the name of a variable
"""A file (0600) with the pool's token."""
CERTIFICATE_FILE: Final = "OFFLOAD_CERTIFICATE_FILE"
"""Optional: a file with the launcher's certificate in PEM, the only one that is trusted then."""
DIRECTORY: Final = "OFFLOAD_RUNNER_DIR"
"""A directory for this runner alone."""
CHECKPOINTS: Final = "OFFLOAD_CHECKPOINTS"
"""Optional: a directory that outlives the runner, for ``$OFFLOAD_CHECKPOINT``."""
CGROUP: Final = "OFFLOAD_CGROUP"
"""Optional: a delegated cgroup v2 directory without processes, for this runner alone."""
GPUS_VISIBLE: Final = "OFFLOAD_GPUS_VISIBLE"
"""Optional: what tasks see as ``CUDA_VISIBLE_DEVICES``."""
AGENT: Final = "OFFLOAD_AGENT"
"""Optional: a directory shared with the agent in another container, which then executes the tasks."""
HOME: Final = "home"
"""In that directory: what tasks can have as their ``HOME``, kept between the tasks of a runner."""
FILES: Final = "OFFLOAD_FILES"
"""Optional: where each task finds its copy of the working directory; emptied, never removed."""

INHERITED: Final = "OFFLOAD_INHERITED"
"""Optional: names of the runner's own variables that tasks see, with spaces between; without it all."""

MARKER: Final = "OFFLOAD_ATTEMPT_OF"
"""Every process of a task carries its runner's id in this variable, so that leftovers can be found."""

LOCK: Final = "lock"
"""An exclusive ``flock`` for life: a second runner of the same id ends at once."""
IDENTITY: Final = "runner.json"
"""Who holds the lock: ``pid``, ``started`` (clock ticks since boot), ``boot``."""
ENDED: Final = "ended"
"""There once the runner has ended in order."""
