"""``python -m offload.runner.forkserver``: has imported what a runner is made of, and forks one when asked.

Python takes a tenth of a second to import all of it, as long as a short script takes; a fork takes some
milliseconds. From outside such a runner is one that was started by itself: its command line and environment
in ``/proc`` are rewritten, because processes are recognised by them.

Standard input is a socket to the launcher, ``SEQPACKET``, one message each way. The first one is ours,
:data:`~offload.wire.forking.READY`. This ends with the launcher, or when nothing was asked for a while and
none of its runners is left.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from offload.runner.__main__ import main as be_a_runner
from offload.wire.forking import GO, LARGEST, READY, Reap, Start, call_of, parse_request, words_of

IDLE: Final = 300.0
"""Seconds without a request after which this ends, unless a runner of its lives."""
_ARGUMENTS: Final = slice(45, 49)
"""Where ``/proc/self/stat`` tells start and end of the arguments and of the environment, behind the name of
the program; see proc(5)."""


def main() -> int:
    """Fork runners until nobody wants any."""
    os.chdir("/")
    _become(dict(os.environb), sys.orig_argv)  # where that can't be done, no runner must be forked
    with socket.socket(fileno=os.dup(0)) as launcher:
        launcher.send(READY)
        while data := _next(launcher):
            request = parse_request(data)
            if isinstance(request, Reap):
                launcher.send(_how_it_ended(request.pid).encode())
            else:
                _start(request, launcher)
    return 0


def _next(launcher: socket.socket) -> bytes:
    while not select.select([launcher], [], [], IDLE)[0]:
        if not _has_children():
            return b""
    try:
        return launcher.recv(LARGEST)
    except ConnectionResetError:
        return b""


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _how_it_ended(pid: int) -> str:
    """What became of a runner that has ended; it is forgotten then."""
    return words_of(os.waitid(os.P_PID, pid, os.WEXITED))


def _start(request: Start, launcher: socket.socket) -> None:
    """Fork a runner, which begins once the launcher knows of it: it may have lost its patience meanwhile.

    The answer is its process id and the end of a pipe at which it waits, or the negative number of an error.
    """
    try:
        log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        hold, go = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
    except OSError as error:
        launcher.send(str(-(error.errno or errno.EIO)).encode())
        return
    if pid == 0:
        os.close(go)
        launcher.close()
        _begin(request.env, log, hold)
    os.close(hold)
    os.close(log)
    socket.send_fds(launcher, [str(pid).encode()], [go])
    os.close(go)


def _begin(env: Mapping[bytes, bytes], log: int, hold: int) -> NoReturn:
    status = 1
    try:
        if os.read(hold, len(GO)):
            os.close(hold)
            os.setsid()
            _redirect(log)
            _become(env, call_of("offload.runner"))
            status = be_a_runner()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001  it must never return to the loop of its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, to in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, to)
    os.close(null)
    os.close(log)


def _become(env: Mapping[bytes, bytes], arguments: Sequence[str]) -> None:
    """Have this environment and these arguments, also for those who look from outside."""
    os.environb.clear()  # nothing refers to the memory that is overwritten now
    os.environb.update(env)
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    first, last, begin, end = map(int, stat[_ARGUMENTS])
    if not (first < last and begin < end):  # a sandbox doesn't tell
        raise OSError(errno.ENOSYS, "Nobody tells where the arguments are.")
    memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(memory, _block(map(os.fsencode, arguments), last - first), first)
        os.pwrite(memory, _block((name + b"=" + value for name, value in env.items()), end - begin), begin)
    finally:
        os.close(memory)


def _block(strings: Iterable[bytes], size: int) -> bytes:
    """As many of the strings as there is room for, each with a zero at its end, and zeros after them."""
    whole = b"".join(one + b"\0" for one in strings)[:size]
    return whole[: whole.rfind(b"\0") + 1].ljust(size, b"\0")


if __name__ == "__main__":
    sys.exit(main())
