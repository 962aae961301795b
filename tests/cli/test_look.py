"""Looking at jobs, acting on them, and the shapes of ``--json``."""

import json
import subprocess

import pytest

from fakes.shell import COMMAND
from offload.wire.api import ClusterView, JobPage, JobView, TaskView
from offload.wire.codec import convert, decode


@pytest.fixture
def ended(shell) -> str:
    """The id of a job that has ended well and made a file."""
    shell.write("fit.sh", "echo out; echo err >&2; echo made > made.txt\n")
    job_id = shell.text("run", "-d", "fit.sh").strip()
    assert shell.offload("wait", job_id).returncode == 0
    return job_id


def test_jobs_are_listed_newest_first(shell, ended):
    later = shell.text("run", "-d", "--name", "later", "--", "true").strip()
    shell.offload("wait", later)
    lines = shell.text("jobs").splitlines()
    assert lines[0].split() == ["id", "name", "state", "tasks", "cluster", "submitted", "ran"]
    assert [line.split()[:3] for line in lines[1:]] == [
        [later, "later", "succeeded"],
        [ended, "fit.sh", "succeeded"],
    ]
    page = decode(shell.text("jobs", "--json", "--limit", "1"), JobPage)
    assert ([job.id for job in page.jobs], page.next) == ([later], later)
    assert "No jobs are failed." in shell.text("jobs", "--state", "failed")


def test_without_jobs_the_first_command_to_try_is_named(shell):
    assert "offload run fit.R" in shell.text("jobs")


def test_status_shows_what_was_asked_and_what_was_used(shell, ended):
    shown = shell.text("status", ended)
    assert shown.startswith(f"{ended}  fit.sh  succeeded\n")
    for part in ("bash fit.sh", "1 CPU", "local", str(shell.here), "peak memory", "kept until"):
        assert part in shown
    parts = json.loads(shell.text("status", "--json", ended))
    assert convert(parts["job"], JobView).id == ended
    (task,) = convert(parts["tasks"], tuple[TaskView, ...])
    use = task.attempts[-1].use
    assert use.wall > 0
    assert use.peak_memory > 0
    assert use.bytes_out > 0


def test_why_is_a_sentence(shell, ended):
    assert shell.text("why", ended).startswith(f"{ended} (fit.sh) succeeded after ")
    failed = shell.text("run", "-d", "--", "sh", "-c", "exit 3").strip()
    assert shell.offload("wait", failed).returncode == 3
    assert "3" in shell.text("why", failed)
    assert json.loads(shell.text("why", "--json", failed))["reason"]["code"] == "exit"


def test_a_job_that_waits_says_what_for(shell):
    first = shell.text("run", "-d", "--cpus", everything(shell), "--", "sleep", "60").strip()
    second = shell.text("run", "-d", "--cpus", everything(shell), "--", "true").strip()
    assert "has been waiting" in shell.text("why", second)
    shell.text("cancel", first)
    assert shell.offload("wait", second).returncode == 0


def everything(shell) -> str:
    (cluster,) = convert(json.loads(shell.text("clusters", "--json")), tuple[ClusterView, ...])
    return f"{cluster.capacity.cpus:g}"


def test_logs_keep_the_streams_apart(shell, ended):
    done = shell.offload("logs", ended)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    assert shell.offload("logs", "--attempt", "2", ended).stdout == b""


def test_logs_of_one_task_are_its_bytes_alone(shell):
    job_id = shell.text(
        "run", "-d", "--cpus", "0.25", "--array", "3-5", "--", "sh", "-c", "printf $OFFLOAD_TASK"
    ).strip()
    assert shell.offload("wait", job_id).returncode == 0
    assert shell.text("logs", "--task", "4", job_id) == "4"
    assert sorted(shell.text("logs", job_id).split()) == ["3", "4", "5"]
    done = shell.offload("logs", "--task", "9", job_id)
    assert done.returncode == 2


def test_collecting_twice_changes_nothing(shell, ended):
    assert shell.text("collect", ended) == "came home (5 bytes): 1 new file: made.txt\n"
    assert shell.text("collect", ended) == "Everything was here already.\n"
    (facts,) = json.loads(shell.text("collect", "--json", ended))
    assert (facts["new"], facts["same"], facts["target"]) == ([], ["made.txt"], str(shell.here))


def test_results_can_be_collected_anywhere_from_anywhere(shell, ended, tmp_path):
    done = shell.offload("collect", ended, "--to", "deep/copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "deep" / "copy" / "made.txt").read_text() == "made\n"


def test_a_home_that_is_gone_says_how_to_collect_elsewhere(shell, ended):
    shell.here.rename(shell.here.with_name("moved"))
    done = shell.offload("collect", ended, cwd=shell.home)
    shell.here.with_name("moved").rename(shell.here)
    assert done.returncode == 125
    assert f"offload collect {ended} --to DIR" in done.stderr.decode()


def test_a_target_that_is_a_file_is_refused(shell, ended):
    shell.write("file", "")
    done = shell.offload("collect", ended, "--to", "file")
    assert done.returncode == 125
    assert b"offload collect" in done.stderr


def test_an_unfinished_job_has_nothing_to_collect_yet(shell):
    job_id = shell.text("run", "-d", "--", "sleep", "60").strip()
    done = shell.offload("collect", job_id)
    assert done.returncode == 125
    assert f"offload wait {job_id}" in done.stderr.decode()
    assert "is being cancelled" in shell.text("cancel", job_id)
    assert shell.offload("wait", job_id).returncode == 130
    assert "has already ended: cancelled" in shell.text("cancel", job_id)


def test_rerun_uses_the_files_of_that_time(shell, ended):
    shell.write("fit.sh", "echo changed\n")
    again = shell.text("rerun", ended).strip()
    assert again != ended
    assert shell.offload("wait", again).returncode == 0
    assert shell.text("logs", again).splitlines()[0] == "out"


def test_an_unknown_id_suggests_near_ones(shell, ended):
    wrong = ended[:-1] + ("2" if ended[-1] != "2" else "3")
    for words in (("status",), ("logs",), ("why",), ("wait",), ("collect",), ("cancel",), ("rerun",)):
        done = shell.offload(*words, wrong)
        assert (done.returncode, done.stdout) == (2, b"")
        assert ended in done.stderr.decode()


def test_clusters_tell_what_fits_and_how_limits_are_kept(shell):
    shown = shell.text("clusters")
    assert shown.splitlines()[1].split()[:3] == ["local", "local", "available"]
    assert "How limits are kept on local:" in shown
    (cluster,) = convert(json.loads(shell.text("clusters", "--json")), tuple[ClusterView, ...])
    assert cluster.enforces["memory"] in shown


def test_job_ids_complete(shell, ended):
    asked = {
        "_OFFLOAD_COMPLETE": "bash_complete",
        "COMP_WORDS": f"offload logs {ended[:3]}",
        "COMP_CWORD": "2",
    }
    environ = {**shell.environ, **asked}
    done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, check=True, cwd=shell.here)
    assert done.stdout == f"plain,{ended}\n"


def test_explain_names_the_rule_and_asks_no_launcher(shell):
    shell.write(".offloadignore", "# mine\n*.big\n")
    shell.write("data/a.big", "x")
    shell.write("data/a.csv", "x")
    (shell.here / "__pycache__").mkdir()
    shown = shell.text("explain", "data/a.big", "data/a.csv", "__pycache__").splitlines()
    assert shown[0].startswith("data/a.big: not sent")
    assert "line 2" in shown[0]
    assert shown[1].startswith("data/a.csv: sent")
    assert shown[2].startswith("__pycache__: not sent")
    sent = [item["sent"] for item in json.loads(shell.text("explain", "--json", "data/a.big", "data/a.csv"))]
    assert sent == [False, True]
    assert not shell.home.exists()
