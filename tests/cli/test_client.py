"""The client's promises against the real launcher."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import offload
from offload.client.api import Api
from offload.client.plan import make_plan
from offload.client.streams import follow_events
from offload.client.submit import Prepared, prepare, submit
from offload.errors import JobNotFoundError, LauncherUnreachableError, TaskNotFoundError, UsageError
from offload.model.manifest import digest_of
from offload.model.resources import Resources
from offload.wire.api import Submission


@pytest.fixture
def shell(guest):
    return guest


@pytest.fixture
def api(shell, monkeypatch):
    monkeypatch.chdir(shell.here)
    for name, value in shell.environ.items():
        monkeypatch.setenv(name, value)
    with Api() as opened:
        yield opened


def test_a_launcher_that_died_between_two_calls_is_started_again(api):
    first = api.launcher().pid
    os.kill(first, signal.SIGKILL)
    assert api.launcher().pid != first


def test_files_that_the_launcher_lost_are_sent_again_with_the_same_job(api, shell):
    shell.write("a.sh", "echo hi\n")
    plan = make_plan(["a.sh"])
    prepared = prepare(api, plan)
    lost = Prepared(spec=replace(prepared.spec, snapshot=digest_of(b"lost")), snapshot=prepared.snapshot)
    before = api.jobs().jobs
    job = submit(api, plan, lost)
    assert job.spec.snapshot == prepared.snapshot.digest
    assert [view.id for view in api.jobs().jobs[: -len(before) or None]] == [job.id]
    assert [event.kind for event in follow_events(api, job.id)][-1] == "job_ended"


def test_the_same_key_submits_one_job(api, shell):
    plan = make_plan(["true"], is_command=True)
    submission = Submission(spec=prepare(api, plan).spec, key="a" * 32)
    before = api.jobs().jobs
    assert api.submit(submission).id == api.submit(submission).id
    (job,) = api.jobs().jobs[: -len(before) or None]
    list(follow_events(api, job.id))


def test_tasks_are_asked_for_in_pages_and_no_more_of_them_than_are_wanted(api, shell, monkeypatch):
    job = shell.text("run", "-d", "--array", "1-2100", "--max-running", "1", "--", "sleep", "60").strip()
    shell.text("cancel", job)
    asked, request = [], api.request

    def noted(method, path, body=None):
        asked.append(path.partition("?")[2])
        return request(method, path, body)

    monkeypatch.setattr(api, "request", noted)
    assert [task.index for task in api.tasks(job)] == list(range(1, 2101))
    assert asked == ["limit=1000", "after=1000&limit=1000", "after=2000&limit=1000"]
    asked.clear()
    assert [task.index for task in api.tasks(job, limit=3)] == [1, 2, 3]
    assert [task.index for task in api.tasks(job, limit=1001)] == list(range(1, 1002))
    assert asked == ["limit=3", "limit=1000", "after=1000&limit=1"]


def test_an_unchanged_directory_is_sent_once(api, shell):
    shell.write("data.csv", "1,2,3\n" * 1000)
    plan = make_plan(["true"], is_command=True)
    assert prepare(api, plan).snapshot.bytes_sent > 0
    assert prepare(api, plan).snapshot.bytes_sent == 0


def test_progress_is_told_in_bytes(api, shell):
    shell.write("data.csv", "1,2,3\n" * 1000)
    told = []
    prepare(api, make_plan(["true"], is_command=True), lambda *numbers: told.append(numbers))
    assert told[-1] == (6000, 6000)


def test_errors_of_the_launcher_come_as_their_own_class(api):
    with pytest.raises(JobNotFoundError):
        api.job("nothing")


@pytest.mark.parametrize("strange", ["", "../x", "a/", "a\0", "\udcff"])
def test_what_can_be_no_id_is_a_job_that_is_not_there_for_python_too(api, strange):
    job = offload.Job(strange)
    for ask in (job.status, job.wait, job.cancel, job.collect, lambda: [*job.logs()]):
        with pytest.raises(JobNotFoundError):
            ask()


def test_the_output_of_a_task_that_is_not_there_is_an_error_for_python_too(api, shell):
    shell.write("a.sh", "echo hi\n")
    job = offload.run("a.sh")
    with pytest.raises(TaskNotFoundError, match="has no task -1"):
        [*job.logs(task=-1)]


def test_python_takes_the_values_that_one_would_give(api, shell):
    shell.write("a.sh", 'echo "$@" "$A" "$B"\n')
    job = offload.run(Path("a.sh"), 3, Path("x"), 0.5, env={"A": 1, "B": "b"}, cpus=None, memory=100 << 20)
    assert job.wait().spec.resources == Resources(cpus=1.0, memory=100 << 20)
    assert b"".join(frame.data for frame in job.logs()) == b"3 x 0.5 1 b\n"
    job = offload.run("--", "sh", "-c", "echo $A $B", env=["A=2", "B=c"], keep_going=False, name=None)
    job.wait()
    assert b"".join(frame.data for frame in job.logs()) == b"2 c\n"


def test_python_is_told_every_mistake_in_its_own_words(api, shell):
    shell.write("a.sh", "echo hi\n")
    with pytest.raises(UsageError) as caught:
        offload.run("a.sh", memroy="1Gi", cpus="many", array=["1-3", "5"], max_runing=2)
    assert caught.value.sentence.splitlines() == [
        "run() has no option 'memroy'.",
        "array is one value, and not a list.",
        "run() has no option 'max_runing'.",
        "--cpus: 'many' is not a number of CPUs.",
    ]
    assert "Did you mean max_running? It takes: cpus, memory, memory_growth" in caught.value.next_step


def test_tasks_are_fetched_page_by_page(api, shell):
    plan = make_plan(["true"], is_command=True, options=[("array", "1-1203"), ("cpus", "0.1")])
    job = submit(api, plan, prepare(api, plan))
    api.cancel(job.id)
    assert [task.index for task in api.tasks(job.id)] == list(range(1, 1204))
    list(follow_events(api, job.id))


def test_a_launcher_elsewhere_that_is_not_there_is_an_error_at_once(monkeypatch):
    monkeypatch.setenv("OFFLOAD_LAUNCHER", "unix:/nonexistent.sock")
    with Api() as api, pytest.raises(LauncherUnreachableError):
        api.jobs()
