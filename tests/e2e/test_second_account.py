"""Another account of the machine: in with the token, and only with it.

Without root's rights there is no other account to become. Then it is the same one with a home of its own,
which proves all but what file modes keep away.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.person import Person, at_work

OTHER = 65534
BECOME_OTHER = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups")
IS_ROOT = os.getuid() == 0


class Colleague(Person):
    """A person with another user id, who knows a launcher's address."""

    prefix = BECOME_OTHER if IS_ROOT else ()


@contextmanager
def a_colleague(address: str, **env: str) -> Iterator[Colleague]:
    # pytest's own temporary directories can be entered by their owner alone.
    root = Path(tempfile.mkdtemp(prefix="colleague-"))
    try:
        colleague = Colleague(root, OFFLOAD_LAUNCHER=address, **env)
        for path in (root, *root.iterdir()) if IS_ROOT else ():
            os.chown(path, OTHER, OTHER)
        yield colleague
        colleague.leave()
    finally:
        shutil.rmtree(root)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Person, str]]:
    """A person whose launcher listens on TCP, and its address."""
    address = f"127.0.0.1:{free_port()}"
    with at_work(tmp_path) as person:
        config = person.root / "offload/config.toml"
        config.parent.mkdir(mode=0o700)
        config.write_text(f"listen = ['{address}']\n")
        person.offload("launcher", "start")
        yield person, f"http://{address}"


def test_a_second_account_follows_and_collects_with_the_token_and_is_refused_without(served):
    person, address = served
    go = person.root / "go"
    person.write(
        "slow.sh", f"echo first; while [ ! -e '{go}' ]; do sleep 0.05; done; echo last; echo x > made"
    )
    job = person.detach("slow.sh")
    token = (person.root / "offload/token").read_text()
    with a_colleague(address, OFFLOAD_TOKEN=token) as colleague:
        with colleague.start("logs", "-f", job) as following:
            assert following.stdout.readline() == b"first\n"
            go.touch()
            assert following.communicate(timeout=30) == (b"last\n", b"")
        assert following.returncode == 0
        colleague.offload("collect", job, "--to", str(colleague.work))
        assert (colleague.work / "made").read_text() == "x\n"
        if IS_ROOT:
            assert (colleague.work / "made").stat().st_uid == OTHER
    for wrong in ({}, {"OFFLOAD_TOKEN": "guessed"}):
        with a_colleague(address, **wrong) as stranger:
            for words in (("jobs",), ("logs", job), ("collect", job, "--to", "."), ("cancel", job)):
                refused = stranger.offload(*words, status=125)
                assert refused.stdout == ""
                assert "The launcher's token is missing or wrong." in refused.stderr


def test_what_lets_an_account_in_is_for_the_owner_alone(served):
    person, _ = served
    places = person.root / "offload"
    for private in (places, places / "token", places / "run" / "launcher.sock"):
        assert private.stat().st_mode & 0o077 == 0
    with a_colleague(f"unix:{places}/run/launcher.sock") as stranger:
        reached = stranger.offload("jobs", status=125 if IS_ROOT else 0)
        assert ("Permission denied" in reached.stderr) == IS_ROOT
