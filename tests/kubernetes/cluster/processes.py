"""Start, watch and end the processes of a cluster, each by its own process id.

They outlive the program that started them, so a process id isn't enough to know one again: ids are used
twice. The file of a process holds its id and the moment it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cluster.places import LOGS, STATE


class RigError(Exception):
    """Something outside didn't do what it was asked; the text has its last words."""


def say(text: str) -> None:
    """A line about progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Tell what is being done, and how long it took when that was over a second."""
    begun = time.monotonic()
    say(f"{text} …")
    yield
    if (took := time.monotonic() - begun) >= 1:
        say(f"  {took:.0f} s")


def run(
    *argv: object,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 900,
) -> str:
    """What a program prints; :class:`RigError` with its last lines when it fails or is late."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise RigError(f"{' '.join(words[:4])} took over {seconds:.0f} s.") from None
    except FileNotFoundError:
        raise RigError(f"There is no program {words[0]}.") from None
    if done.returncode != 0:
        words_of_it = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RigError(f"{' '.join(words)} ended with {done.returncode}:\n{words_of_it}")
    return done.stdout


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float, log: str = "") -> None:
    """Return once it is so; :class:`RigError` with the tail of a component's log when it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RigError(f"{what}: not within {seconds:.0f} s." + (tail(log) if log else ""))
        time.sleep(0.1)


def succeeds(*argv: object, seconds: float = 5) -> bool:
    """Whether a program ends with 0 in time."""
    try:
        run(*argv, seconds=seconds)
    except RigError:
        return False
    return True


def tail(name: str, lines: int = 25) -> str:
    """The last lines of a component's log, below a heading."""
    path = LOGS / f"{name}.log"
    text = path.read_text(errors="replace") if path.exists() else "(there is none)"
    return f"\n--- end of {path} ---\n" + "\n".join(text.splitlines()[-lines:])


def _born(pid: int) -> str | None:
    """When a living process started, in clock ticks since boot; None for the dead and for zombies."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat[0] in "ZX" else stat[19]


def _file(name: str) -> Path:
    return STATE / "processes" / name


def pid_of(name: str) -> int | None:
    """The process id of a component that is alive."""
    try:
        pid, born = _file(name).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if _born(int(pid)) == born else None


def names() -> list[str]:
    """The components that were started, dead or alive."""
    return sorted(path.name for path in (STATE / "processes").glob("*"))


def launch(name: str, argv: Sequence[object], environment: Mapping[str, str] | None = None) -> None:
    """Start a component that outlives this program, unless it is alive."""
    if pid_of(name) is not None:
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    _file(name).parent.mkdir(parents=True, exist_ok=True)
    # A shell in between, so that the component is nobody's child here: a test that kills it reaps nothing.
    script = 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!'
    pid = int(run("sh", "-c", script, "sh", LOGS / f"{name}.log", *argv, environment=environment))
    _file(name).write_text(f"{pid} {_born(pid) or 'never'}")


def end(name: str, *, seconds: float = 3) -> None:
    """Ask a component to end, make it after that time, and forget it."""
    pid = pid_of(name)
    if pid is not None:
        tell(name, signal.SIGCONT)
        tell(name, signal.SIGTERM)
        with contextlib.suppress(RigError):
            wait_until(name, lambda: pid_of(name) is None, seconds=seconds)
        tell(name, signal.SIGKILL)
        wait_until(f"The end of {name}", lambda: pid_of(name) is None, seconds=10)
    _file(name).unlink(missing_ok=True)


def tell(name: str, number: signal.Signals) -> None:
    """Send a signal to a component, if it is alive."""
    if (pid := pid_of(name)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
