"""Where Offload keeps things on this machine, and where its launcher listens.

``OFFLOAD_HOME`` moves everything below one directory; otherwise the XDG base directories hold. The socket
lives in a directory that only its owner can enter.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offload.errors import OffloadError, UsageError
from offload.wire.http import unix_address

_SOCKET_PATH_LIMIT: Final = 100
"""Bytes; Linux takes 107 and macOS 103."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Directories of one user.

    Attributes:
        data: store, blobs, logs, the state of backends.
        runtime: socket and locks; gone after a reboot.
        cache: what may be deleted at any time.
        config: the launcher's settings, a TOML file that need not exist.
    """

    data: Path
    runtime: Path
    cache: Path
    config: Path

    @property
    def own(self) -> tuple[Path, ...]:
        """Directories whose content is Offload's alone, and changes while it works."""
        return (self.data, self.runtime, self.socket.parent, self.cache)

    @property
    def socket(self) -> Path:
        """The launcher's socket; a short name elsewhere when the runtime directory's path is too long."""
        path = self.runtime / "launcher.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        short = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
        return Path(f"/tmp/offload-{os.getuid()}") / f"{short}.sock"  # noqa: S108  made with mode 0700

    @property
    def refusal(self) -> Path:
        """Where a launcher that can't start leaves its error, as JSON, for whoever started it."""
        return self.runtime / "refusal.json"

    @property
    def address(self) -> str:
        """Where the local launcher is dialled."""
        return unix_address(str(self.socket))


def find_places(env: Mapping[str, str] | None = None) -> Places:
    """The places that the environment names."""
    env = os.environ if env is None else env
    if home := env.get("OFFLOAD_HOME"):
        root = Path(home).absolute()
        return Places(data=root, runtime=root / "run", cache=root / "cache", config=root / "config.toml")
    user = Path(env.get("HOME") or "~").expanduser()
    runtime = Path(env.get("XDG_RUNTIME_DIR") or "/nonexistent")
    return Places(
        data=Path(env.get("XDG_DATA_HOME") or user / ".local/share") / "offload",
        runtime=runtime / "offload" if runtime.is_dir() else Path(f"/tmp/offload-{os.getuid()}"),  # noqa: S108
        cache=Path(env.get("XDG_CACHE_HOME") or user / ".cache") / "offload",
        config=Path(env.get("XDG_CONFIG_HOME") or user / ".config") / "offload/config.toml",
    )


def current_directory() -> Path:
    """Where the person stands.

    Raises:
        UsageError: that directory was removed meanwhile.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "The directory that you stand in was removed.", next_step="Go to one that is there: cd DIR"
        ) from error


def private_directory(path: Path, refusal: type[OffloadError]) -> None:
    """Make a directory that only its owner can enter; raise ``refusal`` if there is one of another kind."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    info = path.lstat()
    if stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077:
        return
    raise refusal(
        f"{path} must be a directory that only you can enter, because the launcher's socket lives there.",
        next_step=f"Remove it, or make it yours alone: chmod 700 {path}",
    )
