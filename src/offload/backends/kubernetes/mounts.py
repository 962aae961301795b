"""Mounts: directories of the cluster that a job may see, by name, and who may.

``{user}`` in a path stands for the user's name. A name that could lead out of its directory is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from offload.backends.kubernetes.keys import (
    Key,
    MistakesError,
    absolute_path,
    flag,
    list_of,
    object_name,
    read_table,
    text,
)
from offload.backends.kubernetes.places import mount_refusal
from offload.errors import UsageError

USER: Final = "{user}"
_SAFE_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nfs:
    """A directory that an NFS server exports."""

    server: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory of the cluster; exactly one of ``nfs``, ``claim`` and ``host_path`` is set."""

    nfs: Nfs | None = None
    claim: str | None = None
    host_path: str | None = None
    sub_path: str | None = None
    path: str | None = None
    read_only: bool = False
    users: tuple[str, ...] | None = None

    def describe(self, name: str) -> str:
        """One line for whoever chooses."""
        source = f"NFS {self.nfs.server}:{self.nfs.path}" if self.nfs else f"volume {self.claim}"
        source = f"{self.host_path} of the node" if self.host_path else source
        below = f"/{self.sub_path}" if self.sub_path else ""
        return f"{source}{below} at {self.target(name)}{', read-only' if self.read_only else ''}"

    def target(self, name: str) -> str:
        """Where a job sees it, unless it says otherwise."""
        return self.path or f"/mnt/{name}"

    def is_for(self, user: str) -> bool:
        """Whether a user may have it."""
        return self.users is None or user in self.users

    def for_user(self, user: str) -> Mount:
        """The same with the user's name filled in.

        Raises:
            UsageError: the name isn't safe as a part of a path.
        """
        return replace(
            self,
            nfs=replace(self.nfs, path=fill_user(self.nfs.path, user)) if self.nfs else None,
            host_path=fill_user(self.host_path, user) if self.host_path else None,
            sub_path=fill_user(self.sub_path, user) if self.sub_path else None,
            path=fill_user(self.path, user) if self.path else None,
        )


def fill_user(path: str, user: str) -> str:
    """A path with ``{user}`` replaced.

    Raises:
        UsageError: the name isn't safe as a part of a path.
    """
    if USER in path and not _SAFE_USER.fullmatch(user):
        raise UsageError(
            f"The user name {user!r} can't be a part of a path, and the mount {path} needs it.",
            next_step="Leave the mount out, or ask the launcher's administrator.",
        )
    return path.replace(USER, user)


def _with_user(written: Any) -> str:
    unknown = re.findall(r"\{[^}]*\}?|\}", str(written).replace(USER, ""))
    if unknown:
        raise ValueError(f"{written!r} has {unknown[0]!r}; only {USER} can stand in a path")
    return text(written)


def _path(written: Any) -> str:
    return absolute_path(_with_user(written))


def _target(written: Any) -> str:
    path = _path(written)
    if refused := mount_refusal(path):
        raise ValueError(refused)
    return path


def _sub_path(written: Any) -> str:
    path = posixpath.normpath(_with_user(written))
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{written!r} isn't a relative path without '..'")
    return path


_NFS: Final[Mapping[str, Key]] = {
    "server": Key(text, "", "Host name or address."),
    "path": Key(_path, "", "The exported directory."),
}


def _nfs(written: Any) -> Nfs:
    values = read_table(_NFS, written)
    if missing := [name for name in _NFS if name not in values]:
        raise MistakesError(
            [((), f"{' and '.join(missing)} missing; write nfs = {{ server = …, path = … }}")]
        )
    return Nfs(**values)


SOURCES: Final = ("nfs", "claim", "host_path")
MOUNT: Final[Mapping[str, Key]] = {
    "nfs": Key(
        _nfs,
        "",
        "A table with `server` and `path`. The *restricted* Pod Security Standard forbids it; there, make a "
        "PersistentVolume of it, and name the claim.",
    ),
    "claim": Key(object_name, "", "Name of a PersistentVolumeClaim in the namespace."),
    "host_path": Key(
        _path, "", "A directory of the node itself. The *restricted* and *baseline* standards forbid it."
    ),
    "sub_path": Key(
        _sub_path, "all of it", "A directory below that, such as `{user}`; made if it isn't there."
    ),
    "path": Key(
        _target, "/mnt/MOUNT", "Where a job sees it. A job can choose another place: `--mount MOUNT:/path`."
    ),
    "read_only": Key(flag, "false", "Whether jobs can only read it."),
    "users": Key(list_of(text), "everybody", "Names of the users who may have it."),
}
"""The keys of ``[clusters.NAME.mounts.MOUNT]``; one of the first three is needed."""


def read_mount(written: Any) -> Mount:
    """One mount.

    Raises:
        MistakesError: anything in it is wrong.
    """
    values = read_table(MOUNT, written)
    if len([name for name in SOURCES if name in values]) != 1:
        raise MistakesError([((), f"a mount has exactly one of {', '.join(SOURCES)}")])
    return Mount(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A mount as a job gets it.

    Attributes:
        name: of the mount.
        mount: with the user's name filled in.
        path: where the job sees it.
    """

    name: str
    mount: Mount
    path: str


def place(mounts: Mapping[str, Mount], requests: Iterable[str], user: str) -> tuple[Placed, ...]:
    """The mounts that a job asks for, ``NAME`` or ``NAME:/path`` each.

    Raises:
        UsageError: a mount isn't there or isn't for the user, or a path can't be; all of it.
    """
    placed: list[Placed] = []
    mistakes: list[UsageError] = []
    for request in dict.fromkeys(requests):
        try:
            placed.append(_place(mounts, request, user, placed))
        except UsageError as error:
            mistakes.append(error)
    if mistakes:
        raise together(mistakes)
    return tuple(placed)


def _place(mounts: Mapping[str, Mount], request: str, user: str, others: Iterable[Placed]) -> Placed:
    name, colon, wanted = request.partition(":")
    mine = sorted(each for each, mount in mounts.items() if mount.is_for(user))
    if name not in mine:
        raise UsageError(
            f"There is no mount {name!r}." if name not in mounts else f"The mount {name} isn't for {user}.",
            next_step=f"The mounts are: {', '.join(mine)}." if mine else f"Leave out --mount {request}.",
        )
    mount = mounts[name].for_user(user)
    path = _wanted(request, wanted) if colon else mount.target(name)
    if refused := mount_refusal(path):
        raise UsageError(f"The mount {name} can't be there: {refused}.", next_step="Choose another path.")
    if taken := [one.name for one in others if one.path == path]:
        raise UsageError(
            f"The mounts {taken[0]} and {name} can't both be at {path}.",
            next_step=f"Give one of them another path: --mount {name}:/path",
        )
    return Placed(name=name, mount=mount, path=path)


def _wanted(request: str, path: str) -> str:
    try:
        return absolute_path(path)
    except ValueError as error:
        raise UsageError(f"--mount {request}: {error}.", next_step="Write it like NAME:/data.") from error


def together(mistakes: Sequence[UsageError]) -> UsageError:
    """One error that tells all of them."""
    if len(mistakes) == 1:
        return mistakes[0]
    steps = dict.fromkeys(error.next_step for error in mistakes if error.next_step)
    return UsageError("\n".join(error.sentence for error in mistakes), next_step="\n".join(steps))
