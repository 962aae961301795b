"""The fork server: real processes, and what is seen of them from outside."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.launcher import TOKEN, FakeLauncher
from offload.backends.local.forks import Forks
from offload.backends.local.processes import find_runner, reap, start_runner
from offload.backends.local.spawn import send_signal
from offload.runner import forkserver
from offload.wire.forking import LARGEST, READY, Reap, Start, parse_request
from offload.wire.runner_place import DIRECTORY, LAUNCHER, RUNNER, TOKEN_FILE

ID = "k7m2q9x-0-0"
NAMES = st.binary(min_size=1).map(lambda name: name.replace(b"\0", b"").replace(b"=", b"") or b"N")


@pytest.fixture
def forks() -> Iterator[Forks]:
    one = Forks()
    one.prepare()
    assert can_be_read(one._socket)
    yield one
    one.close()


@pytest.fixture
def launcher(tmp_path) -> Iterator[FakeLauncher]:
    with FakeLauncher(tmp_path / "launcher.sock") as one:
        yield one


@pytest.fixture
def settings(tmp_path, launcher) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    return {LAUNCHER: launcher.address, TOKEN_FILE: str(token)}


def can_be_read(file: object, timeout: float = 30.0) -> bool:
    return bool(select.select([file], [], [], timeout)[0])


def pid_of(pidfd: int) -> int:
    told = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split()
    return int(told[told.index("Pid:") + 1])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def at_work(launcher: FakeLauncher) -> None:
    launcher.wait_for(lambda: launcher.hellos)


def end(pidfd: int, forks: Forks, number: signal.Signals = signal.SIGKILL) -> str:
    send_signal(pidfd, number)
    assert can_be_read(pidfd)
    return reap(pidfd, forks)


def appearance(pidfd: int) -> tuple[object, ...]:
    """What anybody sees of a process."""
    entry = Path(f"/proc/{pid_of(pidfd)}")
    shown = [(entry / name).read_bytes().rstrip(b"\0") for name in ("cmdline", "environ", "comm")]
    files = [os.readlink(entry / "fd" / fd) for fd in "012"]
    session = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[3])
    return *shown, files, session == pid_of(pidfd), os.readlink(entry / "cwd")


def test_a_forked_runner_looks_like_one_that_was_started_by_itself(forks, launcher, settings, tmp_path):
    looks = []
    for number, way in enumerate((forks, Forks()), 1):
        pidfd = start_runner(ID, tmp_path, settings, way)
        launcher.wait_for(lambda number=number: len(launcher.hellos) == number)
        looks.append((parent_of(pid_of(pidfd)), appearance(pidfd)))
        assert end(pidfd, way) == "signal 9"
    assert [parent for parent, _ in looks] == [pid_of(forks._server), os.getpid()]
    assert looks[0][1] == looks[1][1]


def test_a_forked_runner_works_and_is_found_again(forks, launcher, settings, tmp_path):
    launcher.set(command=("sh", "-c", "echo $OFFLOAD_TASK"))
    pidfd = start_runner(ID, tmp_path, settings, forks)
    launcher.add_task(7)
    launcher.completion("lease-7-1")
    assert launcher.output(task=7) == b"7\n"
    found = find_runner(ID, tmp_path)
    assert pid_of(found) == pid_of(pidfd)
    os.close(found)
    assert end(pidfd, forks, signal.SIGTERM) == "exit status 0"


def test_how_a_runner_failed_is_told_and_what_it_said_is_kept(forks, tmp_path):
    pidfd = start_runner(ID, tmp_path, {LAUNCHER: "unix:/nowhere", TOKEN_FILE: "/no/token"}, forks)
    assert can_be_read(pidfd)
    assert reap(pidfd, forks).startswith("exit status ")
    assert "can't read its token" in (tmp_path / "runner.log").read_text()


def test_a_runner_goes_on_without_the_server_and_others_are_started_the_plain_way(
    forks, launcher, settings, tmp_path
):
    first = start_runner(ID, tmp_path, settings, forks)
    at_work(launcher)
    os.kill(pid_of(forks._server), signal.SIGKILL)
    (tmp_path / "1").mkdir()
    second = start_runner("k7m2q9x-0-1", tmp_path / "1", settings, forks)
    launcher.wait_for(lambda: len(launcher.hellos) == 2)
    assert parent_of(pid_of(second)) == os.getpid()
    assert not can_be_read(first, 0)
    assert [end(first, forks), end(second, forks)] == ["", "signal 9"]
    forks.prepare()
    assert can_be_read(forks._socket)


def test_a_server_that_does_not_answer_is_ended(forks, settings, tmp_path, monkeypatch):
    os.kill(pid_of(forks._server), signal.SIGSTOP)
    forks._is_ready = True
    forks._socket.settimeout(0.1)
    forks._socket.recv(LARGEST)
    server = os.dup(forks._server)
    assert forks.start({}, os.devnull) is None
    assert can_be_read(server)
    os.close(server)


def test_nothing_is_forked_before_the_server_is_ready_or_when_it_is_asked_too_much(forks):
    assert forks.start({"LARGE": "x" * LARGEST}, os.devnull) is None
    unready = Forks()
    assert unready.start({}, os.devnull) is None
    unready.close()


def test_nobody_waits_for_a_server_that_is_still_importing():
    importing = Forks()
    importing._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    importing._socket.settimeout(600)
    with theirs:
        assert importing.start({}, os.devnull) is None
        theirs.send(READY)
        assert importing._can_fork()
    importing.close()


def test_a_runner_that_the_launcher_does_not_wait_for_any_more_never_begins(
    forks, launcher, settings, tmp_path
):
    """Another one with the same id is started then."""
    env = {RUNNER: ID, DIRECTORY: str(tmp_path), **settings}
    encoded = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    assert forks._can_fork()
    forks._socket.send(Start(os.devnull, encoded).encode())
    assert can_be_read(forks._socket)  # the answer came too late, and nobody hears it
    late = Path(f"/proc/{pid_of(forks._server)}/task/{pid_of(forks._server)}/children").read_text()
    late = os.pidfd_open(int(late))
    forks.close()
    assert can_be_read(late)
    os.close(late)
    assert launcher.hellos == []


def test_a_runner_that_could_say_nothing_is_not_forked(forks, settings, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent/runner\.log"):
        start_runner(ID, tmp_path / "absent", settings, forks)
    with pytest.raises(FileNotFoundError):
        start_runner(ID, tmp_path / "absent", settings, Forks())
    assert forks._can_fork()


def test_the_server_ends_with_its_launcher(forks):
    forks._socket.close()
    assert can_be_read(forks._server)


def test_there_is_one_server_however_often_it_is_prepared(forks):
    before = pid_of(forks._server)
    forks.prepare()
    assert pid_of(forks._server) == before


def test_a_server_that_nobody_asks_ends_unless_a_runner_of_its_lives(monkeypatch):
    monkeypatch.setattr(forkserver, "IDLE", 0.05)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runners = [True, True, False]
    monkeypatch.setattr(forkserver, "_has_children", lambda: runners.pop(0))
    with ours, theirs:
        assert forkserver._next(theirs) == b""
    assert runners == []


@given(
    st.dictionaries(NAMES, st.binary().map(lambda value: value.replace(b"\0", b""))), st.integers(1, 1 << 22)
)
def test_messages_say_what_was_meant(env, pid):
    start = Start("/log of ü/runner.log", env)
    assert parse_request(start.encode()) == start
    assert parse_request(Reap(pid).encode()) == Reap(pid)


def test_no_more_of_an_environment_is_shown_than_there_is_room_for():
    strings = [b"A=1", b"B=22", b"C=333"]
    assert forkserver._block(strings, 14) == b"A=1\0B=22\0\0\0\0\0\0"
    assert forkserver._block(strings, 15) == b"A=1\0B=22\0C=333\0"
