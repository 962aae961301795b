"""The launcher's settings, from where they are defined; those of the local cluster from its own."""

from offload.backends.local.settings import LocalSettings
from offload.server.settings import CLUSTERS, SETTINGS

from .text import attributes, prose, table

_HEAD = """The file is `config.toml` in the configuration directory, or in `OFFLOAD_HOME`. It need not exist.
`DATA` stands for the data directory. What isn't understood stops the launcher, with the line and the valid
keys.

"""
_LOCAL = """

### Of a local cluster

```toml
[clusters.local]
backend = "local"
cpus = 4
memory = "8Gi"
```

"""


def page() -> str:
    """The table of settings, to be included."""
    rows = [(f"`{key}`", f"`{item.default}`", item.about) for key, item in SETTINGS.items()]
    rows.append(("`clusters`", "`local`", CLUSTERS))
    local = [(f"`{key}`", prose(text)) for key, text in attributes(LocalSettings.__doc__).items()]
    return _HEAD + table(("key", "default", ""), rows) + _LOCAL + table(("key", ""), local) + "\n"
