"""Looking at jobs, acting on them, and the shapes of ``--json``."""

import json
import subprocess

import pytest

from fakes.person import wait_until
from fakes.shell import COMMAND
from offload.wire.api import ClusterView, JobPage, JobView, TaskView
from offload.wire.codec import convert, decode


@pytest.fixture(scope="module")
def looked_at(shared) -> str:
    """A job of the shared shell that has ended."""
    return ended_job(shared)


@pytest.fixture
def ended(guest) -> str:
    """A job that has ended, for a test that changes something."""
    return ended_job(guest)


def ended_job(shell) -> str:
    """The id of a job that has ended well and made a file."""
    shell.write("fit.sh", "echo out; echo err >&2; echo made > made.txt\n")
    job_id = shell.text("run", "-d", "fit.sh").strip()
    assert shell.offload("wait", job_id).returncode == 0
    return job_id


def test_jobs_are_listed_newest_first(shell):
    ended = ended_job(shell)
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


def test_status_shows_what_was_asked_and_what_was_used(shared, looked_at):
    shown = shared.text("status", looked_at)
    assert shown.startswith(f"{looked_at}  fit.sh  succeeded\n")
    for part in ("bash fit.sh", "1 CPU", "local", str(shared.here), "peak memory", "kept until"):
        assert part in shown
    parts = json.loads(shared.text("status", "--json", looked_at))
    assert convert(parts["job"], JobView).id == looked_at
    (task,) = convert(parts["tasks"], tuple[TaskView, ...])
    use = task.attempts[-1].use
    assert use.wall > 0
    assert use.peak_memory > 0
    assert use.bytes_out > 0


def test_why_is_a_sentence(shared, looked_at):
    assert shared.text("why", looked_at).startswith(f"{looked_at} (fit.sh) succeeded after ")
    failed = shared.text("run", "-d", "--", "sh", "-c", "exit 3").strip()
    assert shared.offload("wait", failed).returncode == 3
    assert "3" in shared.text("why", failed)
    assert json.loads(shared.text("why", "--json", failed))["reason"]["code"] == "exit"


def test_a_job_that_waits_says_what_for(shared):
    first = shared.text("run", "-d", "--cpus", everything(shared), "--", "sleep", "60").strip()
    second = shared.text("run", "-d", "--cpus", everything(shared), "--", "true").strip()
    assert "has been waiting" in shared.text("why", second)
    shared.text("cancel", first)
    assert shared.offload("wait", second).returncode == 0


def everything(shared) -> str:
    (cluster,) = convert(json.loads(shared.text("clusters", "--json")), tuple[ClusterView, ...])
    return f"{cluster.capacity.cpus:g}"


def test_logs_keep_the_streams_apart(shared, looked_at):
    done = shared.offload("logs", looked_at)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    assert shared.text("logs", "--attempt", "1", looked_at) == "out\n"


@pytest.mark.parametrize("words", [(), ("--task", "1"), ("-f",), ("-f", "--task", "1")])
def test_an_attempt_that_there_was_not_is_an_error_with_those_there_were(shared, looked_at, words):
    done = shared.offload("logs", *words, "--attempt", "9", looked_at)
    assert (done.returncode, done.stdout) == (2, b"")
    who = "Task 1 of job" if "--task" in words else "Job"
    assert f"{who} {looked_at} has no attempt 9.\n  Its attempts are 1." in done.stderr.decode()


def test_an_attempt_that_may_still_begin_and_one_that_printed_nothing_are_no_errors(guest):
    job = guest.text("run", "-d", "--cpus", everything(guest), "--", "sleep", "60").strip()
    waiting = guest.text("run", "-d", "--cpus", everything(guest), "--", "true").strip()
    assert guest.text("logs", "--attempt", "1", waiting) == ""
    assert guest.text("logs", "--attempt", "9", waiting) == ""
    guest.text("cancel", waiting)
    assert guest.offload("wait", waiting).returncode == 130
    never = guest.offload("logs", "--attempt", "1", waiting)
    assert (never.returncode, b"It ended before any began." in never.stderr) == (2, True)
    wait_until(lambda: json.loads(guest.text("status", "--json", job))["job"]["state"] == "running")
    guest.text("cancel", job)
    assert guest.offload("wait", job).returncode == 130
    assert guest.text("logs", "--attempt", "1", job) == ""


def test_logs_of_one_task_are_its_bytes_alone(shared):
    job_id = shared.text(
        "run", "-d", "--cpus", "0.25", "--array", "3-5", "--", "sh", "-c", "printf $OFFLOAD_TASK"
    ).strip()
    assert shared.offload("wait", job_id).returncode == 0
    assert shared.text("logs", "--task", "4", job_id) == "4"
    assert sorted(shared.text("logs", job_id).split()) == ["3", "4", "5"]
    done = shared.offload("logs", "--task", "9", job_id)
    assert done.returncode == 2


def test_a_job_of_many_tasks_is_shown_by_its_first_ones_and_printed_whole(guest):
    job = guest.text("run", "-d", "--array", "1-2100", "--max-running", "1", "--", "sleep", "60").strip()
    guest.text("cancel", job)
    guest.offload("wait", job)
    shown = guest.text("table", job).splitlines()
    assert (len(shown), shown[-1]) == (102, f"… and 2,000 more: offload table {job} --csv")
    chosen = guest.text("table", job, "--where", "task>1000").splitlines()
    assert chosen[1].split()[0] == "1001"
    assert (len(chosen), chosen[-1]) == (102, f"… and 1,000 more: offload table {job} --csv")
    chosen = guest.text("table", job, "--where", "state==cancelled").splitlines()
    assert (len(chosen), chosen[-1]) == (102, f"… and 2,000 more: offload table {job} --csv")
    assert guest.text("table", job, "--where", "state==failed") == "No task is like that.\n"
    (line,) = guest.text("status", "--json", job).splitlines()
    status = json.loads(line)
    assert list(status) == ["job", "tasks", "usage"]
    assert [task["index"] for task in status["tasks"]] == list(range(1, 2101))
    assert [row["task"] for row in json.loads(guest.text("table", "--json", job))] == list(range(1, 2101))


def test_collecting_twice_changes_nothing(guest, ended):
    assert guest.text("collect", ended) == "came home (5 bytes): 1 new file: made.txt\n"
    assert guest.text("collect", ended) == "Everything was here already.\n"
    (facts,) = json.loads(guest.text("collect", "--json", ended))
    assert (facts["new"], facts["same"], facts["target"]) == ([], ["made.txt"], str(guest.here))


def test_results_can_be_collected_anywhere_from_anywhere(shared, looked_at, tmp_path):
    done = shared.offload("collect", looked_at, "--to", "deep/copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "deep" / "copy" / "made.txt").read_text() == "made\n"


def test_a_home_that_is_gone_says_how_to_collect_elsewhere(guest, ended):
    guest.here.rename(guest.here.with_name("moved"))
    done = guest.offload("collect", ended, cwd=guest.home)
    guest.here.with_name("moved").rename(guest.here)
    assert done.returncode == 125
    assert f"offload collect {ended} --to DIR" in done.stderr.decode()


def test_a_target_that_is_a_file_is_refused(shared, looked_at):
    shared.write("file", "")
    done = shared.offload("collect", looked_at, "--to", "file")
    assert done.returncode == 125
    assert b"offload collect" in done.stderr


def test_a_task_whose_results_can_not_be_written_keeps_no_other_from_coming_home(guest):
    job_id = guest.text("run", "-d", "--array", "1-3", "--", "sh", "-c", "echo x > made").strip()
    guest.text("wait", job_id)
    guest.write(f"results/{job_id}/2", "mine")
    done = guest.offload("collect", job_id)
    assert done.returncode == 125
    assert f"results/{job_id}/2 can't be made: File exists.".encode() in done.stderr
    made = {path.relative_to(guest.here).as_posix() for path in guest.here.glob("results/*/*/made")}
    assert made == {f"results/{job_id}/1/made", f"results/{job_id}/3/made"}


def test_an_unfinished_job_has_nothing_to_collect_yet(guest):
    job_id = guest.text("run", "-d", "--", "sleep", "60").strip()
    done = guest.offload("collect", job_id)
    assert done.returncode == 125
    assert f"offload wait {job_id}" in done.stderr.decode()
    assert "is being cancelled" in guest.text("cancel", job_id)
    assert guest.offload("wait", job_id).returncode == 130
    assert "has already ended: cancelled" in guest.text("cancel", job_id)


def test_rerun_uses_the_files_of_that_time(guest, ended):
    guest.write("fit.sh", "echo changed\n")
    again = guest.text("rerun", ended).strip()
    assert again != ended
    assert guest.offload("wait", again).returncode == 0
    assert guest.text("logs", again).splitlines()[0] == "out"


@pytest.mark.parametrize("strange", ["", ".", "..", "../x", "k7m2q9x/", "a\nb", "x" * 300])
def test_what_can_be_no_id_is_a_job_that_is_not_there(shared, looked_at, strange):
    for word in ("status", "cancel", "failures"):
        done = shared.offload(word, "--json", strange)
        assert (done.returncode, done.stdout) == (2, b"")
        assert json.loads(done.stderr)["code"] == "job_not_found"


@pytest.mark.parametrize("index", ["-1", "99999999999"])
def test_what_can_be_no_index_is_a_task_that_is_not_there(shared, looked_at, index):
    done = shared.offload("logs", "--task", index, looked_at)
    assert (done.returncode, done.stderr.decode()) == (
        2,
        f"offload: error: Job {looked_at} has no task {index}.\n  Its tasks are 1.\n",
    )


def test_an_unknown_id_suggests_near_ones(shared, looked_at):
    wrong = looked_at[:-1] + ("2" if looked_at[-1] != "2" else "3")
    for words in (("status",), ("logs",), ("why",), ("wait",), ("collect",), ("cancel",), ("rerun",)):
        done = shared.offload(*words, wrong)
        assert (done.returncode, done.stdout) == (2, b"")
        assert looked_at in done.stderr.decode()


def test_clusters_tell_what_fits_and_how_limits_are_kept(shared):
    shown = shared.text("clusters")
    assert shown.splitlines()[1].split()[:3] == ["local", "local", "available"]
    assert "How limits are kept on local:" in shown
    (cluster,) = convert(json.loads(shared.text("clusters", "--json")), tuple[ClusterView, ...])
    assert cluster.enforces["memory"] in shown


def test_job_ids_complete(shared, looked_at):
    asked = {
        "_OFFLOAD_COMPLETE": "bash_complete",
        "COMP_WORDS": f"offload logs {looked_at[:5]}",
        "COMP_CWORD": "2",
    }
    environ = {**shared.environ, **asked}
    done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, check=True, cwd=shared.here)
    assert done.stdout == f"plain,{looked_at}\n"


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
    facts = json.loads(shell.text("explain", "--json", "data/a.big", "data/a.csv", "data/b.csv"))
    assert [(item["exists"], item["sent"]) for item in facts] == [(True, False), (True, True), (False, True)]
    assert not shell.home.exists()


def test_explain_answers_what_it_can_and_tells_every_mistake(shell):
    shell.write("a\x1b[2J", "x")
    done = shell.offload("explain", "/etc", "a\x1b[2J", "../x", "tpyo.csv")
    assert (done.returncode, done.stdout.decode()) == (
        2,
        (
            "a\\x1b[2J: sent: no rule leaves it out\n"
            "tpyo.csv: not there; it would be sent: no rule leaves it out\n"
        ),
    )
    assert b"/etc lies outside" in done.stderr
    assert b"x lies outside" in done.stderr


@pytest.mark.parametrize("words", [("explain", "x"), ("run", "x.sh"), ("run", "-d", "--", "true")])
def test_who_stands_in_a_directory_that_was_removed_is_told_so(shell, words):
    gone = shell.here / "gone"
    line = 'mkdir gone && cd gone && rmdir "$PWD" && exec "$@"'
    environ = {name: value for name, value in shell.environ.items() if name != "PWD"}
    done = subprocess.run(
        ["sh", "-c", line, "sh", COMMAND, *words],
        cwd=shell.here, env=environ, capture_output=True, check=False,
    )  # fmt: skip
    assert not gone.exists()
    assert (done.returncode, done.stderr) == (
        2,
        b"offload: error: The directory that you stand in was removed.\n  Go to one that is there: cd DIR\n",
    )
