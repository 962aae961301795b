"""Whole runs with the real command on a real cluster: what a script does at home it does there.

One launcher with several clusters, all of them namespaces of the same Kubernetes: ``rig``; ``odd``, where
tasks run as an unusual user and can write hardly anywhere; ``other``, in a namespace of its own.
"""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cluster import access
from cluster.places import ADDRESS

from fakes.analyst import Analyst, analyst_at_work

SAVES = "trap 'echo saved > file.txt; exit 7' TERM; echo up; while :; do sleep 0.1; done\n"


@pytest.fixture(scope="module")
def analyst(cluster, tmp_path_factory) -> Iterator[Analyst]:
    suffix = secrets.token_hex(3)
    other = f"runs-other-{suffix}"
    access.make_namespace(other)
    with analyst_at_work(tmp_path_factory.mktemp("runs"), f"runs-{suffix}") as analyst:
        analyst.kubectl(
            "create", "secret", "generic", "passwords", "--from-literal=database=open sesame $(x)"
        )
        analyst.add(
            "rig",
            secrets={"DATABASE": {"secret": "passwords", "key": "database"}},
            profiles={"tiny": {"cpus": 0.05, "memory": "64Mi"}},
            maximum={"cpus": 4},
        )
        odd = {"run_as_user": 123456, "run_as_group": 123456, "fs_group": 123456, "read_only_root": True}
        analyst.add("odd", security=odd)
        analyst.add("other", other)
        yield analyst
    access.delete_namespace(other)


@pytest.fixture
def here(analyst, request) -> Analyst:
    """The analyst, in an empty working directory."""
    analyst.work = analyst.root / request.node.name.replace(" ", "-")
    analyst.work.mkdir()
    return analyst


def test_an_r_script_brings_home_its_plot_table_and_messages(here):
    here.write("data/points.csv", "x,y\n1,2\n2,4\n3,6\n")
    here.write(
        "fit.R",
        "points <- read.csv('data/points.csv')\n"
        "cat('slope', coef(lm(y ~ x, points))[['x']], commandArgs(TRUE), '\\n')\n"
        "message('a message')\n"
        "dir.create('plots/Größe & Co', recursive = TRUE)\n"
        "pdf('plots/Größe & Co/fit.pdf'); plot(points); invisible(dev.off())\n"
        "write.csv(points, 'table.csv')\n",
    )
    done = here.run("--memory", "256Mi", "fit.R", "--rounds", "5 0")
    assert done.stdout == "slope 2 --rounds 5 0 \n"
    assert done.stderr == "a message\n"
    assert (here.work / "plots/Größe & Co/fit.pdf").read_bytes().startswith(b"%PDF")
    assert (here.work / "table.csv").read_text().count("\n") == 4


def test_a_python_script_runs_at_its_home_path_and_what_it_does_to_files_happens_at_home(here):
    here.write("deep/er/data.txt", "data\n")
    here.write("old.txt", "old\n")
    here.write("tool.sh", '#!/bin/sh\necho tool "$@"\n').chmod(0o755)
    here.write(
        "fit.py",
        "import os, subprocess, sys, pathlib\n"
        "print(os.getcwd())\n"
        "subprocess.run(['./tool.sh', 'a  b'], check=True)\n"
        "print('to stderr', file=sys.stderr)\n"
        "pathlib.Path('deep/er/data.txt').open('a').write('more\\n')\n"
        "pathlib.Path('sp ace\\n\"q\".txt').write_text('odd')\n"
        "os.makedirs('empty/one'); os.symlink('deep', 'link'); os.remove('old.txt')\n"
        "pathlib.Path('large.bin').write_bytes(os.urandom(1 << 20) * 8)\n"
        "sys.exit(3)\n",
    )
    done = here.run("fit.py", status=3)
    assert done.stdout == f"{here.work}\ntool a  b\n"
    assert done.stderr.startswith("to stderr\n")
    assert (here.work / "deep/er/data.txt").read_text() == "data\nmore\n"
    assert (here.work / 'sp ace\n"q".txt').read_text() == "odd"
    assert (here.work / "link").is_symlink()
    assert (here.work / "large.bin").stat().st_size == 8 << 20


def test_a_cancelled_script_gets_its_grace_and_what_it_saved_comes_home(here):
    here.write("save.sh", SAVES)
    job = here.submit("save.sh")
    here.wait_for_output(job, "up")
    here.offload("cancel", job)
    assert here.ended(job)["job"]["state"] == "cancelled"
    here.offload("collect", job)
    assert (here.work / "file.txt").read_text() == "saved\n"
    here.wait_until_nothing_is_left(job)


def test_ctrl_c_cancels_and_brings_home_what_there_is(here):
    here.write("save.sh", SAVES)
    words = ("run", "--on", "rig", "--cpus", "0.05", "--memory", "64Mi", "save.sh")
    with here.start(*words) as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert (here.work / "file.txt").read_text() == "saved\n"


def test_a_time_limit_ends_the_script_with_124(here):
    here.write("save.sh", SAVES)
    begin = time.monotonic()
    done = here.run("--time", "1s", "--grace", "2s", "save.sh", status=124)
    assert "time" in done.stderr
    assert (here.work / "file.txt").read_text() == "saved\n"
    assert time.monotonic() - begin < 60


def test_a_failed_attempt_is_tried_again_in_a_clean_directory(here):
    here.write("try.sh", "ls; echo $OFFLOAD_ATTEMPT >> tries.txt; [ $OFFLOAD_ATTEMPT = 2 ]\n")
    done = here.run("--retries", "2", "try.sh")
    assert done.stdout == "try.sh\ntry.sh\n"
    assert (here.work / "tries.txt").read_text() == "2\n"
    (task,) = here.newest()["tasks"]
    assert [one["state"] for one in task["attempts"]] == ["failed", "succeeded"]


def test_the_tasks_of_an_array_follow_each_other_in_clean_directories(here):
    here.write("sim.sh", "ls | tr '\\n' ' '; echo $OFFLOAD_TASK; echo $OFFLOAD_TASK > mine.txt\n")
    done = here.run("--array", "1-8", "sim.sh")
    assert sorted(done.stdout.splitlines()) == [f"sim.sh {n}" for n in range(1, 9)]
    job = here.newest()["job"]["id"]
    for n in range(1, 9):
        assert (here.work / f"results/{job}/{n}/mine.txt").read_text() == f"{n}\n"


def test_a_script_over_its_memory_fails_for_it_and_is_charged(here):
    here.write("big.py", "x = bytearray(500 << 20)\n")
    done = here.run("--retries", "1", "--memory-growth", "1", "big.py", status=137)
    assert "memory" in done.stderr
    (task,) = here.newest()["tasks"]
    assert [one["reason"]["code"] for one in task["attempts"]] == ["out_of_memory"] * 2


def test_a_script_over_its_memory_is_run_again_in_a_larger_pod(here):
    here.write("big.py", "x = bytearray(500 << 20)\nprint('done')\n")
    done = here.run("--memory", "300Mi", "--memory-growth", "3", "big.py")
    assert done.stdout == "done\n"
    assert "It needed more than 300 MiB of memory; it is run again with 900 MiB." in done.stderr
    (task,) = here.newest()["tasks"]
    assert [one["state"] for one in task["attempts"]] == ["failed", "succeeded"]
    assert [one["memory"] for one in task["attempts"]] == [300 << 20, 900 << 20]


def test_an_image_is_used_when_it_is_named_and_standard_input_too(here):
    here.write("in.txt", "from a file\n")
    done = here.run(
        "--image",
        "offload-test-python:test",
        "--stdin",
        "in.txt",
        "--",
        "sh",
        "-c",
        "cat; python3 -c 'print(6 * 7)'",
    )
    assert done.stdout == "from a file\n42\n"


def test_a_secret_of_the_namespace_is_a_variable_of_the_task_as_it_is(here):
    assert here.run("--", "sh", "-c", 'echo "$DATABASE"').stdout == "open sesame $(x)\n"


def test_a_task_works_as_an_unusual_user_who_can_write_hardly_anywhere(here):
    here.write("data.txt", "data\n")
    here.write(
        "odd.sh",
        "id -u; touch /nowhere 2>/dev/null || echo read-only\n"
        "echo more >> data.txt; touch $HOME/x /tmp/y && echo fine\n",
    )
    assert here.run("odd.sh", on="odd").stdout == "123456\nread-only\nfine\n"
    assert (here.work / "data.txt").read_text() == "data\nmore\n"


def test_two_clusters_work_side_by_side_in_one_launcher(here):
    here.write("which.sh", "echo here\n")
    jobs = [here.submit("which.sh", on=name) for name in ("rig", "other", "rig", "other")]
    assert [here.ended(job)["job"]["state"] for job in jobs] == ["succeeded"] * 4
    assert [here.printed(job) for job in jobs] == ["here\n"] * 4


class EmptyRegistry(BaseHTTPRequestHandler):
    """Has no image at all."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def empty_registry() -> Iterator[None]:
    """What is asked for images of ``registry.test``."""
    with ThreadingHTTPServer((ADDRESS, 5000), EmptyRegistry) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield
        server.shutdown()


def check_refused_in_seconds(here: Analyst, image: str, told: str) -> None:
    begin = time.monotonic()
    done = here.run("--image", image, "--", "true", status=None)
    assert done.returncode == 125
    assert image in done.stderr
    assert told in done.stderr
    assert time.monotonic() - begin < 30


def test_an_image_without_a_shell_fails_the_job_in_seconds_with_a_sentence(here):
    check_refused_in_seconds(here, "offload-test-noshell:test", "no shell")


@pytest.mark.own_cluster
@pytest.mark.usefixtures("empty_registry")
def test_an_image_that_does_not_exist_fails_the_job_in_seconds_with_a_sentence(here):
    check_refused_in_seconds(here, "registry.test/missing:1", "exist")


def test_a_program_that_is_not_in_the_image_is_told_by_its_name(here):
    done = here.run("--", "no-such-program", status=127)
    assert "no-such-program" in done.stderr


def test_nothing_is_left_in_the_namespace_when_all_jobs_have_ended(here):
    here.wait_until_nothing_is_left()
    warnings = [
        line for line in here.log_of_launcher().splitlines() if " WARNING " in line or "Traceback" in line
    ]
    assert warnings == []
