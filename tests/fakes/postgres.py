"""A PostgreSQL server of one test run: its own data directory, a Unix socket, no TCP port.

``initdb`` refuses to run as root, so root runs the server as the user ``postgres``.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from urllib.parse import quote


def _program(name: str) -> str:
    for candidate in sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True):
        return candidate
    found = shutil.which(name)
    assert found, f"PostgreSQL's {name} is needed: apt-get install postgresql"
    return found


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """An SQLAlchemy URL of a running server; its database is called ``postgres``."""
    directory = Path(tempfile.mkdtemp(prefix="offload-pg-"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        entry = pwd.getpwnam(user)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    data = directory / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)

    run(_program("initdb"), "-D", str(data), "-U", "offload", "-A", "trust", "--no-sync")
    options = f"-k {directory} -c listen_addresses= -c fsync=off"
    run(_program("pg_ctl"), "-D", str(data), "-o", options, "-l", f"{directory}/log", "-w", "start")
    try:
        yield f"postgresql://offload@/postgres?host={quote(str(directory))}"
    finally:
        run(_program("pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(directory)
