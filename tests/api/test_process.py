"""``python -m offload.server`` as a process: its files, its locks, its end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fakes.service import caught, until
from offload.errors import OffloadError, UnauthorizedError
from offload.wire.http import Connection
from offload.wire.places import Places, find_places


@contextmanager
def launcher(home: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], Places]]:
    """A running launcher that answers."""
    process = start(home, **env)
    places = find_places({"OFFLOAD_HOME": str(home)})
    try:
        until(lambda: answers(places) or process.poll() is not None)
        assert process.poll() is None, log_of(process)
        yield process, places
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stderr
    process.stderr.close()


def log_of(process: subprocess.Popen[str]) -> str:
    """All that an ended launcher logged."""
    assert process.stderr
    return process.stderr.read()


def start(home: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "offload.server"],
        env=os.environ | env | {"OFFLOAD_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(places: Places, token: str = "") -> bool:
    try:
        with Connection(places.address, token=token, timeout=5) as connection:
            return connection.request("GET", "/v1/healthz").status == 200
    except OffloadError:
        return False


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "config.toml").write_text("")
    return tmp_path


def test_only_its_owner_can_reach_a_launcher(home):
    with launcher(home) as (process, places):
        assert mode(places.socket) == 0o600
        assert mode(places.runtime) == 0o700
        assert mode(places.data / "secret") == 0o600
        tcp = psutil.Process(process.pid).net_connections(kind="tcp")
        assert [one for one in tcp if one.status == psutil.CONN_LISTEN] == []


def test_a_signal_ends_it_and_removes_the_socket(home):
    with launcher(home) as (process, places):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not places.socket.exists()
        assert "action=end" in log_of(process)


def test_a_socket_that_a_killed_launcher_left_behind_is_replaced(home):
    with launcher(home) as (process, places):
        process.kill()
        process.wait(20)
        assert places.socket.exists()
    with launcher(home) as (process, places):
        assert answers(places)


def test_a_second_launcher_on_the_same_data_ends_with_the_reason(home):
    with launcher(home) as (process, places):
        second = start(home)
        _, log = second.communicate(timeout=60)
        assert second.returncode == 125
        assert f"Another launcher (process {process.pid}) holds" in log
        assert answers(places)


def test_a_launcher_with_other_data_is_refused_by_the_store_even_after_the_first_was_killed(
    tmp_path, store_url
):
    homes = [tmp_path / name for name in ("first", "second")]
    for home in homes:
        home.mkdir()
        (home / "config.toml").write_text(f"store = '{store_url}'")
    with launcher(homes[0]) as (process, _):
        process.kill()
        process.wait(20)
    second = start(homes[1])
    _, log = second.communicate(timeout=60)
    assert second.returncode == 125, log
    assert f"belongs to the launcher whose data is in {socket.gethostname()}:{homes[0]}" in log
    homes[0].rename(tmp_path / "moved")
    with launcher(tmp_path / "moved") as (_, places):
        assert answers(places)


def test_a_second_launcher_waits_for_one_that_is_ending(home):
    with launcher(home) as (process, places):
        second = start(home)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        try:
            until(lambda: answers(places) or second.poll() is not None)
            assert second.poll() is None
        finally:
            end(second)


def test_an_idle_launcher_ends_by_itself(home):
    (home / "config.toml").write_text("idle_limit = '0.5s'")
    process = start(home)
    assert process.wait(60) == 0
    assert "action=end" in process.communicate()[1]


def test_settings_that_are_not_understood_stop_it_with_the_line(home):
    (home / "config.toml").write_text("\nretentoin = '7d'\n")
    process = start(home)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "line 2: there is no setting 'retentoin'" in log
    assert "retention" in log


def test_settings_that_a_backend_refuses_stop_it(home):
    (home / "config.toml").write_text(
        "[clusters.local]\nbackend = 'local'\ncpu = 3\n[clusters.x]\nbackend='y'\n"
    )
    process = start(home)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cpu" in log
    assert "'y'" in log


def test_a_runtime_directory_that_others_can_enter_is_refused(home):
    (home / "run").mkdir(mode=0o755)
    process = start(home)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "chmod 700" in log


def test_over_tcp_the_api_asks_for_the_token_and_the_socket_does_not(home):
    with launcher(home) as _:
        pass
    port = free_port()
    (home / "config.toml").write_text(f"listen = ['127.0.0.1:{port}']")
    with launcher(home) as (_, places):
        assert mode(places.data / "token") == 0o600
        token = (places.data / "token").read_text()
        address = f"http://127.0.0.1:{port}"
        with Connection(address) as connection:
            assert connection.request("GET", "/v1/healthz").read()
        for wrong in ("", "wrong", "é"):
            with Connection(address, token=wrong) as connection:
                error = caught(lambda: connection.request("GET", "/v1/jobs"))
                assert type(error) is UnauthorizedError
        for reach, known in ((address, token), (places.address, "")):
            with Connection(reach, token=known) as connection:
                assert connection.request("GET", "/v1/jobs").status == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_idle_launcher_is_small_and_uses_no_cpu(home):
    with launcher(home) as (process, _):
        status = Path(f"/proc/{process.pid}/status").read_text()
        (rss,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
        assert rss < 80 * 1024
        # A process that looks at something every so often never has two seconds without any wake-up.
        assert any(is_asleep(process.pid, 2.0) for _ in range(10))


def is_asleep(pid: int, seconds: float) -> bool:
    before = wakeups(pid)
    threading.Event().wait(seconds)
    return wakeups(pid) == before


def wakeups(pid: int) -> int:
    """How often any thread of a process has gone to sleep."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary"))
    return total
