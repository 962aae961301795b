"""A terminal that is closed: the command in it is gone, the job is not."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios

from fakes.person import wait_until


def take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_closing_the_terminal_leaves_the_job_and_its_log_is_followed_from_elsewhere(person):
    go = person.root / "go"
    person.write(
        "slow.sh", f"echo first; while [ ! -e '{go}' ]; do sleep 0.05; done; echo last; echo x > made"
    )
    screen, terminal = pty.openpty()
    ends = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with person.start("run", "slow.sh", preexec_fn=take_terminal, **ends) as process:
        os.close(terminal)
        shown = b""
        while b"first" not in shown:
            shown += os.read(screen, 1024)
        os.close(screen)
        assert process.wait(30) == -signal.SIGHUP
    (job,) = person.json("jobs")["jobs"]
    assert job["state"] == "running"
    elsewhere = person.root / "elsewhere"
    elsewhere.mkdir()
    with person.start("logs", "-f", job["id"], cwd=elsewhere) as following:
        assert following.stdout.readline() == b"first\n"
        go.touch()
        assert following.communicate(timeout=30) == (b"last\n", b"")
    assert not (person.work / "made").exists()
    person.offload("collect", job["id"], cwd=elsewhere)
    assert (person.work / "made").read_text() == "x\n"
    wait_until(lambda: not person.pids_of("runner"), what="the runner to end")
