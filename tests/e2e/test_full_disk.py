"""Disks that are really full: nothing hangs, nothing is lost in silence, and with space it goes on."""

from __future__ import annotations

import os
import signal

from fakes.person import wait_until
from fakes.small_disk import with_a_small_disk

FILL = """
print("begin", flush=True)
try:
    with open("big", "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
except OSError as error:
    print(error)
    print("y" * 3_000_000)
    raise SystemExit(3)
"""
PRINT = """
import pathlib
for number in range(200_000):
    print("line %040d" % number)
pathlib.Path("made").write_text("made")
"""
LINES = b"".join(b"line %040d\n" % number for number in range(200_000))

FULL = "The launcher's disk is full: what the job prints and makes waits until there is space."
WAITS = (
    b"offload: The cluster's disk has no space left for the job's files. "
    b"The script starts once there is some.\n"
)


def free(disk) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_bsize


def test_a_script_that_fills_the_clusters_disk_can_say_so_and_its_files_come_home(tmp_path):
    with with_a_small_disk(tmp_path, "clusters", megabytes=8) as person:
        person.write("fill.py", FILL)
        done = person.offload("run", "fill.py", status=3)
        assert done.stdout == "begin\n[Errno 28] No space left on device\n" + "y" * 3_000_000 + "\n"
        assert "ended with exit status 3" in done.stderr
        assert 0 < (person.work / "big").stat().st_size < 8 << 20


def test_a_directory_that_does_not_fit_waits_for_space_and_says_so(tmp_path):
    with with_a_small_disk(tmp_path, "clusters", megabytes=16) as person:
        person.write("data", bytes(5 << 20))
        ballast = person.disk / "ballast"
        ballast.write_bytes(bytes(12 << 20))
        with person.start("run", "--", "wc", "-c", "data") as process:
            told = process.stderr.readline()
            assert told == WAITS
            ballast.unlink()
            assert process.communicate(timeout=60) == (b"%d data\n" % (5 << 20), b"")
        assert process.returncode == 0


def test_a_job_that_waits_for_space_can_be_cancelled(tmp_path):
    with with_a_small_disk(tmp_path, "clusters", megabytes=8) as person:
        person.write("data", bytes(5 << 20))
        with person.start("run", "--", "true") as process:
            assert process.stderr.readline() == WAITS
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err


def test_a_launcher_without_space_makes_output_wait_and_refuses_files_until_there_is_some(tmp_path):
    with with_a_small_disk(tmp_path, "", megabytes=24) as person, open(tmp_path / "out", "w+b") as out:
        person.offload("launcher", "start")
        ballast = person.disk / "ballast"
        ballast.write_bytes(bytes(free(person.disk) - (4 << 20)))
        person.write("print.py", PRINT)
        with person.start("run", "print.py", stdout=out) as process:
            log = person.disk / "launcher.log"
            wait_until(lambda: "no space left for what the job prints" in log.read_text())
            refused = person.offload("run", "--", "true", status=125, cwd=directory_of(tmp_path, 3 << 20))
            assert "The launcher has no space left for files." in refused.stderr
            assert "Free space on the disk of the launcher" in refused.stderr
            (job,) = person.json("jobs", "--state", "running")["jobs"]
            assert FULL in person.offload("why", job["id"]).stdout
            assert process.poll() is None
            ballast.unlink()
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        *before, last = err.decode().splitlines()
        assert last == "offload: The cluster's disk was full, so the script's output had to wait."
        assert all(FULL in line for line in before)  # told where it takes longer than ten seconds
        assert (tmp_path / "out").read_bytes() == LINES
        assert (person.work / "made").read_text() == "made"
        assert person.offload("run", "--", "true", cwd=tmp_path / "other").stdout == ""


def test_a_home_without_space_for_output_or_results_says_how_to_get_both_later(tmp_path):
    (tmp_path / "offload").mkdir()
    with with_a_small_disk(tmp_path, "../work", megabytes=4) as person:
        (person.disk / "make.sh").write_text("echo out; head -c 3000000 /dev/zero > made\n")
        ballast = person.disk / "ballast"
        ballast.write_bytes(bytes(free(person.disk) - (64 << 10)))
        with (person.disk / "out").open("wb") as out:
            out.write(bytes(free(person.disk)))
            out.flush()
            with person.start("run", "make.sh", stdout=out) as process:
                _, err = process.communicate(timeout=60)
        (job,) = person.json("jobs")["jobs"]
        assert (process.returncode, job["state"]) == (125, "succeeded")
        assert f"offload logs {job['id']}" in err.decode()
        assert f"Nothing is lost: free space, then run offload collect {job['id']}" in err.decode()
        ballast.unlink()
        (person.disk / "out").unlink()
        person.offload("collect", job["id"])
        assert (person.disk / "made").stat().st_size == 3_000_000


def directory_of(root, size: int):
    other = root / "other"
    other.mkdir()
    (other / "data").write_bytes(os.urandom(size))
    return other
