"""The settings of a Kubernetes cluster, from where they are defined."""

from collections.abc import Mapping

from offload.backends.kubernetes.keys import Key
from offload.backends.kubernetes.mounts import MOUNT
from offload.backends.kubernetes.profiles import PROFILE
from offload.backends.kubernetes.security import SECURITY
from offload.backends.kubernetes.settings import SETTINGS

from .text import table

_HEAD = """# Settings of a Kubernetes cluster

A cluster is a table `[clusters.NAME]` with `backend = "kubernetes"` in the launcher's
[config.toml](../settings.md#of-the-launcher). `offload clusters add` writes one, and the rest is added by
hand. What isn't understood, or contradicts something else, stops the launcher, with the line and the valid
keys.

```toml
[clusters.eks]
backend = "kubernetes"
context = "my-eks"
namespace = "analytics"
images = { R = "rocker/tidyverse:4.4" }
allowed_images = ["rocker/*", "*.dkr.ecr.*.amazonaws.com/*"]
default = { cpus = 1, memory = "4Gi" }
maximum = { cpus = 64, memory = "512Gi", gpus = 8 }

[clusters.eks.profiles.gpu-large]
cpus = 16
memory = "128Gi"
gpus = 4
node_selector = { "node.kubernetes.io/instance-type" = "g5.12xlarge" }

[clusters.eks.mounts.data]
claim = "data"
sub_path = "people/{user}"
path = "/data"
```

"""
_PROFILES = """A profile is chosen with `--profile`. It fills in what a job leaves open, and says on which
nodes it may run. A job that asks for GPUs tolerates the taint that carries their name."""
_MOUNTS = """A mount is chosen with `--mount`. Exactly one of `nfs`, `claim` and `host_path` is needed.
`{user}` in a path stands for the name of the job's user; a name that isn't safe there is refused. A mount
never lies over a part of the image's system, and the working directory never lies in a mount."""
_SECURITY = """Both containers of a pod must run as the same user. They have no capabilities, can't get any,
and have the runtime's own seccomp profile, as the *restricted* Pod Security Standard asks."""
_PARTS: tuple[tuple[str, str, Mapping[str, Key]], ...] = (
    ("Keys", "", SETTINGS),
    ("Profiles", _PROFILES, PROFILE),
    ("Mounts", _MOUNTS, MOUNT),
    ("Security", _SECURITY, SECURITY),
)


def page() -> str:
    """The page of the settings of a Kubernetes cluster."""
    return _HEAD + "\n".join(_part(*part) for part in _PARTS)


def _part(title: str, text: str, keys: Mapping[str, Key]) -> str:
    rows = [(f"`{name}`", key.default, key.about) for name, key in keys.items()]
    return f"## {title}\n\n{text}\n\n{table(('key', 'default', ''), rows)}\n"
