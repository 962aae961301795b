"""As whom a pod's containers run, and which Secrets of the namespace its task sees as variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from offload.backends.kubernetes.keys import (
    Key,
    MistakesError,
    flag,
    object_name,
    or_false,
    read_table,
    text,
    variable,
    whole,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """One value of a Secret in the namespace."""

    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """As whom containers run; None leaves it to the cluster. See :data:`SECURITY`."""

    run_as_user: int | None = 1000
    run_as_group: int | None = 1000
    fs_group: int | None = 1000
    run_as_non_root: bool = True
    read_only_root: bool = False


SECURITY: Final[Mapping[str, Key]] = {
    "run_as_user": Key(
        or_false(whole), "1000", "Number of the user. `false` leaves it to the cluster, as OpenShift wants."
    ),
    "run_as_group": Key(or_false(whole), "1000", "Number of the group, or `false`."),
    "fs_group": Key(or_false(whole), "1000", "Group that volumes belong to, or `false`."),
    "run_as_non_root": Key(flag, "true", "Whether Kubernetes refuses to run as root."),
    "read_only_root": Key(
        flag,
        "false",
        "Whether a task can write only to its files, `HOME`, `/tmp` and its mounts. The runner always can't.",
    ),
}
"""The keys of ``[clusters.NAME.security]``."""


_SECRET: Final[Mapping[str, Key]] = {
    "secret": Key(object_name, "", "Name of a Secret in the namespace."),
    "key": Key(text, "", "Which of its values."),
}


def own_variable(written: Any) -> str:
    """A variable that tasks may see: not one of those that Offload sets."""
    name: str = variable(written)
    if name.startswith("OFFLOAD_") or name in ("HOME", "USER", "LOGNAME"):
        raise ValueError("Offload sets this variable itself; choose another name")
    return name


def read_secret(written: Any) -> SecretKey:
    """One value of a Secret."""
    values = read_table(_SECRET, written)
    if missing := [name for name in _SECRET if name not in values]:
        raise MistakesError([((), f"{' and '.join(missing)} missing; write {{ secret = …, key = … }}")])
    return SecretKey(**values)


def read_security(written: Any) -> Security:
    """As whom containers run.

    Raises:
        MistakesError: anything in it is wrong.
    """
    security = Security(**read_table(SECURITY, written))
    if security.run_as_user == 0 and security.run_as_non_root:
        raise MistakesError([(("run_as_user",), "0 is root: that contradicts run_as_non_root = true")])
    return security
