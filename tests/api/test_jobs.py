"""Jobs through the public API, from submission to their end, on both stores."""

from __future__ import annotations

import json
import time

import pytest

from fakes.service import CAPACITY, SCRIPT, SNAPSHOT, Service, caught, spec, until
from offload.backends.contract import Capabilities, Health
from offload.errors import (
    BlobMissingError,
    JobNotFoundError,
    LauncherBusyError,
    ResultsGoneError,
    TaskNotFoundError,
    TooLargeForClusterError,
    UnknownClusterError,
    UsageError,
)
from offload.model.ids import pool_id
from offload.model.manifest import digest_of
from offload.model.resources import Resources
from offload.model.states import State, Target
from offload.model.warning import EarlyWarning
from offload.store import jobs
from offload.wire.codec import to_builtins


def body(**options):
    return {"key": options.pop("key", "k"), "spec": to_builtins(spec(**options))}


def test_a_job_goes_from_submission_to_its_end(any_service):
    service: Service = any_service
    job = service.submit(array="1-3")
    until(lambda: service.backend().scaled)
    pool, wanted = service.backend().scaled[0]
    assert (pool.id, wanted, pool.launcher) == (pool_id(job.id), 3, service.address)
    runner = service.runner(job.id)
    assert runner.hello().command == ("python3", "fit.py")
    for task in (1, 2, 3):
        (lease,) = runner.lease(1).leases
        assert (lease.task, lease.attempt) == (task, 1)
        assert runner.complete(lease.token).settled == (lease.token,)
    ended = service.job(job.id)
    assert (ended.state, ended.exit_status, ended.counts.succeeded) == (State.SUCCEEDED, 0, 3)
    until(lambda: pool.id in service.backend().released)


def test_restarting_between_any_two_calls_loses_nothing(any_service):
    service: Service = any_service
    job = service.submit(array="1-2")
    service.restart()
    runner = service.runner(job.id)
    runner.begin()
    service.restart()
    (first,) = runner.lease(1).leases
    service.restart()
    assert [again.token for again in runner.lease(1).leases] == [first.token]
    assert runner.log(first, b"a", b"b").next_seq == 2
    service.restart()
    assert runner.log(first, b"a", b"b", b"c").next_seq == 3
    runner.complete(first.token)
    service.restart()
    assert runner.complete(first.token).settled == (first.token,)
    (second,) = runner.lease(1).leases
    assert second.task == 2
    service.restart()
    runner.complete(second.token)
    service.restart()
    ended = service.job(job.id)
    assert (ended.state, ended.counts.succeeded) == (State.SUCCEEDED, 2)
    tasks = service.call("GET", f"/v1/jobs/{job.id}/tasks")["tasks"]
    assert [len(task["attempts"]) for task in tasks] == [1, 1]
    until(lambda: not service.launcher.store.run_now(jobs.unfinished))


def test_the_same_key_twice_is_one_job(service):
    service.put_snapshot()
    first = service.call("POST", "/v1/jobs", body())
    second = service.call("POST", "/v1/jobs", body())
    assert first["id"] == second["id"]
    assert len(service.call("GET", "/v1/jobs")["jobs"]) == 1


def test_a_new_job_is_201_and_a_known_one_is_200(service):
    service.put_snapshot()
    statuses = []
    for _ in range(2):
        with service.connect() as connection:
            statuses.append(connection.request("POST", "/v1/jobs", json.dumps(body()).encode()).status)
    assert statuses == [201, 200]


def test_every_mistake_of_a_submission_is_told_at_once(service):
    wrong = body(
        command=(),
        name=" ",
        directory="../up",
        snapshot="sha256:0",
        home="/x",
        resources=Resources(cpus=-1, memory=0, gpus=-1),
        time_limit=0.0,
        grace=-1.0,
        retries=-1,
        env={"A=B": "x"},
        stdin="y",
    )
    error = caught(lambda: service.call("POST", "/v1/jobs", wrong))
    assert type(error) is UsageError
    for part in (
        "command",
        "name",
        "directory",
        "snapshot",
        "home",
        "CPUs",
        "Memory",
        "GPUs",
        "time limit",
        "grace",
        "Retries",
        "A=B",
        "standard input",
    ):
        assert part in error.sentence


@pytest.mark.parametrize(
    ("time_limit", "before", "words"),
    [
        (None, 60.0, "no time limit to warn of"),
        (60.0, 60.0, "A warning 1m before a time limit of 1m would come before the script begins."),
        (60.0, -1.0, "A warning is more than 0 s before the time limit, not -1.0."),
    ],
)
def test_a_warning_that_could_not_come_is_refused(service, time_limit, before, words):
    wrong = body(time_limit=time_limit, warn=EarlyWarning(before=before))
    assert words in caught(lambda: service.call("POST", "/v1/jobs", wrong)).sentence


def test_a_signal_that_warns_nobody_is_refused_with_those_that_do(service):
    wrong = body(time_limit=60.0)
    wrong["spec"]["warn"] = {"before": 5.0, "signal": "KILL"}
    error = caught(lambda: service.call("POST", "/v1/jobs", wrong))
    assert type(error) is UsageError
    assert "spec.warn.signal" in error.sentence
    assert all(name in error.sentence for name in ("USR1", "USR2", "INT"))


@pytest.mark.parametrize(
    "ranges", [[[1, 2, 0]], [[-1, 2, 1]], [[1, 1, 1], [1, 1, 1]], [[1, 10**6 + 1, 1]], [[1, 10**30, 1]], []]
)
def test_an_array_that_makes_no_sense_is_refused(service, ranges):
    wrong = body()
    wrong["spec"]["array"] = {"ranges": ranges}
    assert type(caught(lambda: service.call("POST", "/v1/jobs", wrong))) is UsageError


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_text_that_no_store_can_keep_is_refused(service, text):
    wrong = body()
    wrong["spec"]["name"] = f"x{text}"
    assert type(caught(lambda: service.call("POST", "/v1/jobs", wrong))) is UsageError


def test_unknown_fields_are_named_with_the_valid_ones(service):
    wrong = body()
    wrong["spec"]["comand"] = ["x"]
    wrong["spec"]["resources"]["cpu"] = 1
    wrong["extra"] = 1
    error = caught(lambda: service.call("POST", "/v1/jobs", wrong))
    assert "There is no field spec.comand; the fields there are: command, name, cluster" in error.sentence
    assert "There is no field spec.resources.cpu; the fields there are: cpus, memory, gpus." in error.sentence
    assert "There is no field extra; the fields there are: spec, key." in error.sentence


def test_a_text_is_no_number_and_every_field_where_one_stands_is_named(service):
    wrong = body()
    wrong["spec"] |= {"retries": "2", "grace": "1", "is_array": "yes", "time_limit": True, "env": {"A": 1}}
    wrong["spec"]["resources"] = {"cpus": "2", "memory": 1.0, "gpus": False}
    wrong["spec"]["array"] = {"ranges": [["1", 2, 1]]}
    error = caught(lambda: service.call("POST", "/v1/jobs", wrong))
    assert type(error) is UsageError
    places = [f"spec.{name}:" for name in ("retries", "grace", "is_array", "time_limit", "env.A")]
    places += [f"spec.resources.{name}:" for name in ("cpus", "memory", "gpus")]
    assert [place for place in [*places, "spec.array.ranges.0.0:"] if place not in error.sentence] == []


@pytest.mark.parametrize("wrong", ["limit=2.0", "limit=%202", "limit=1_0", "limit=%2B2", "limit="])
def test_a_number_in_an_address_is_written_in_digits(service, wrong):
    error = caught(lambda: service.call("GET", f"/v1/jobs?{wrong}"))
    assert (type(error), error.sentence) == (UsageError, "query.limit: it is a whole number such as 1 or 50.")
    assert "less than or equal to 1000" in caught(lambda: service.call("GET", "/v1/jobs?limit=2000")).sentence


@pytest.mark.parametrize("wrong", ["yes", "1", "True", ""])
def test_a_choice_in_an_address_is_true_or_false(service, wrong):
    error = caught(lambda: service.call("POST", f"/v1/launcher/stop?force={wrong}"))
    assert (type(error), error.sentence) == (UsageError, "query.force: it is true or false.")


def test_an_unknown_cluster_lists_those_there_are(service):
    service.put_snapshot()
    error = caught(lambda: service.call("POST", "/v1/jobs", body(cluster="lokal")))
    assert type(error) is UnknownClusterError
    assert "local" in error.next_step


def test_more_than_the_cluster_has_is_refused_with_the_largest_that_fits(service):
    service.put_snapshot()
    wish = Resources(cpus=9, memory=64 << 30, gpus=1)
    error = caught(lambda: service.call("POST", "/v1/jobs", body(resources=wish)))
    assert type(error) is TooLargeForClusterError
    for part in ("9 CPUs (at most 8)", "64 GiB memory (at most 16 GiB)", "1 GPU (at most 0)"):
        assert part in error.sentence
    assert error.next_step == "The largest request that fits is --cpus 8 --memory 16384Mi."


def test_a_cluster_fills_in_what_a_submission_leaves_open(service):
    backend = service.backend()
    backend.capabilities = Capabilities(default=Resources(memory=1 << 30))
    assert service.submit().spec.resources == Resources(cpus=1, memory=1 << 30)
    assert service.submit(key="b", resources=Resources(memory=5)).spec.resources.memory == 5


def test_a_job_is_accepted_by_a_cluster_that_does_not_answer(service):
    service.backend().health = Health(available=False, problem="It is on fire.")
    assert service.submit(resources=Resources(cpus=100)).state is State.PENDING
    (cluster,) = service.call("GET", "/v1/clusters")
    assert (cluster["available"], cluster["problem"]) == (False, "It is on fire.")


def test_a_job_whose_files_are_not_there_is_refused(service):
    assert type(caught(lambda: service.call("POST", "/v1/jobs", body()))) is BlobMissingError
    service.put_snapshot()
    stdin = digest_of(b"not there")
    error = caught(lambda: service.call("POST", "/v1/jobs", body(stdin=stdin)))
    assert error.details == {"digests": [stdin]}


def test_an_unknown_job_is_404_with_near_ids(service):
    job = service.submit().id
    error = caught(lambda: service.call("GET", f"/v1/jobs/{job[:-1]}"))
    assert type(error) is JobNotFoundError
    assert error.details["near"] == [job]
    assert type(caught(lambda: service.call("GET", f"/v1/jobs/{job}/tasks/5"))) is TaskNotFoundError


def test_pages_and_filters_of_jobs(service):
    ids = [service.submit(key=f"k{n}").id for n in range(3)]
    page = service.call("GET", "/v1/jobs?limit=2")
    rest = service.call("GET", f"/v1/jobs?limit=2&before={page['next']}")
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == ids[::-1]
    assert service.call("GET", "/v1/jobs?state=running")["jobs"] == []
    assert len(service.call("GET", f"/v1/jobs?user={service.launcher.user}")["jobs"]) == 3
    error = caught(lambda: service.call("GET", "/v1/jobs?state=runing"))
    assert "'pending', 'running', 'paused', 'succeeded', 'failed' or 'cancelled'" in error.sentence


def test_cancelling_ends_what_has_not_begun_and_tells_who_works(any_service):
    service: Service = any_service
    job = service.submit(array="1-3")
    runner = service.runner(job.id)
    runner.hello()
    (lease,) = runner.lease(1).leases
    cancelled = service.call("POST", f"/v1/jobs/{job.id}/cancel")
    assert cancelled["target"] == Target.CANCELLED
    orders = runner.lease(0, (lease.token,)).orders
    assert [(order.kind, order.token) for order in orders] == [("cancel", lease.token)]
    until(lambda: service.job(job.id).counts.cancelled == 2)
    runner.complete(lease.token, 143)
    assert service.job(job.id).state is State.CANCELLED
    assert service.call("POST", f"/v1/jobs/{job.id}/cancel")["state"] == State.CANCELLED


def test_a_rerun_is_the_same_spec_as_a_new_job(service):
    job = service.submit()
    again = service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1")
    assert again["id"] != job.id
    assert service.job(again["id"]).spec == job.spec
    assert service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1")["id"] == again["id"]


def test_how_far_memory_may_grow_is_settled_when_a_job_is_accepted(service):
    asked = {"resources": Resources(memory=1 << 30), "memory_limit": 1 << 45}
    job = service.submit(**asked)
    assert (job.spec.memory_growth, job.spec.memory_limit) == (1.5, CAPACITY.memory)
    again = service.call("POST", f"/v1/jobs/{job.id}/rerun?key=again", {"memory": 2 << 30})
    assert again["spec"]["memory_limit"] == CAPACITY.memory
    for wrong in (0.5, 1.05, 11.0):
        error = caught(lambda wrong=wrong: service.submit(key=str(wrong), memory_growth=wrong))
        assert error.sentence == f"Memory grows 1.1 to 10 times, or 1; not {wrong}."


def test_a_rerun_may_be_of_some_tasks_and_with_more_memory(service):
    job = service.submit("1-9:2", is_array=True)
    body = {"tasks": {"ranges": [[3, 3, 1], [7, 9, 2]]}, "memory": 1 << 28}
    again = service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1", body)
    spec = service.job(again["id"]).spec
    assert (str(spec.array), spec.resources.memory) == ("3,7-9:2", 1 << 28)


def test_a_task_that_is_repeated_is_one_of_as_many_as_before(service):
    """A script that divides its data by the number of tasks must find its own part again."""
    job = service.submit("1-9:2", is_array=True)
    some = {"tasks": {"ranges": [[3, 3, 1], [7, 9, 2]]}}
    again = service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1", some)
    one = {"tasks": {"ranges": [[7, 7, 1]]}}
    last = service.call("POST", f"/v1/jobs/{again['id']}/rerun?key=r2", one)
    assert service.job(last["id"]).spec.task_count == 5
    error = caught(lambda: service.submit("1-9", is_array=True, out_of=3))
    assert error.sentence == "A job of 9 tasks can't be some of 3."


def test_only_a_real_nul_character_is_refused(service):
    argument = "print('\\u0000 and \\\\u0000')"
    assert service.submit(command=("python3", "-c", argument)).spec.command[2] == argument
    for wrong in ({"command": ("echo", "a\0b")}, {"env": {"A": "\0"}}, {"env": {"A\0": ""}}):
        assert "NUL" in caught(lambda wrong=wrong: service.submit(key=str(wrong), **wrong)).sentence


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tasks": {"ranges": [[3, 4, 1]]}}, "The job has no task 4."),
        ({"tasks": {"ranges": [[0, 0, 1]]}}, "The job has no task 0."),
        ({"tasks": {"ranges": []}}, "there is at least one"),
        ({"memory": 0}, "Memory is from 1"),
        ({"memory": "8Gi"}, "memory"),
        ({"task": 1}, "There is no field task"),
    ],
)
def test_a_rerun_of_what_cannot_be_is_refused(service, body, said):
    job = service.submit("1-9:2", is_array=True)
    error = caught(lambda: service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1", body))
    assert said in error.sentence


def test_a_rerun_of_files_that_are_gone_says_so(service):
    job = service.submit()
    service.launcher.content.files.delete(digest_of(SCRIPT), unwanted_since=time.time() + 100)
    error = caught(lambda: service.call("POST", f"/v1/jobs/{job.id}/rerun?key=r1"))
    assert type(error) is ResultsGoneError


def test_a_retry_runs_the_task_again_until_it_succeeds(service):
    job = service.submit(retries=1)
    runner = service.runner(job.id)
    runner.hello()
    (first,) = runner.lease(1).leases
    runner.complete(first.token, 1)
    (second,) = runner.lease(1).leases
    assert (second.task, second.attempt) == (1, 2)
    runner.complete(second.token)
    assert service.job(job.id).state is State.SUCCEEDED


def test_a_backend_that_fails_is_tried_again_and_the_job_says_why_it_waits(service):
    service.backend().fails = [RuntimeError("no route to host")]
    job = service.submit()
    waiting = until(lambda: service.job(job.id).reason)
    assert (waiting.code, waiting.words) == ("unknown", "RuntimeError('no route to host')")
    until(lambda: service.backend().scaled)
    until(lambda: service.job(job.id).reason is None)


def test_a_busy_launcher_is_stopped_only_by_force(service):
    service.submit()
    error = caught(lambda: service.call("POST", "/v1/launcher/stop"))
    assert type(error) is LauncherBusyError
    service.call("POST", "/v1/launcher/stop?force=true")
    service.ended()
    assert not service.socket.exists()
    service.start()
    assert service.call("GET", "/v1/launcher")["unfinished_jobs"] == 1


def test_the_launcher_tells_about_itself(service):
    service.put_snapshot()
    view = service.call("GET", "/v1/launcher")
    assert (view["api_version"], view["store"], view["blobs"]) == (1, "sqlite", 1)
    assert view["listening"] == [service.address]
    (cluster,) = service.call("GET", "/v1/clusters")
    assert cluster["capacity"] == {"cpus": CAPACITY.cpus, "memory": CAPACITY.memory, "gpus": 0}
    assert cluster["session_env"] == ["LANG"]
    assert SNAPSHOT.startswith("sha256:")


def test_a_job_is_paused_and_resumed_and_both_may_be_asked_again(any_service):
    service: Service = any_service
    job = service.submit(array="1-3").id
    until(lambda: service.backend().scaled)
    runner = service.runner(job)
    runner.begin()
    (lease,) = runner.lease(1).leases
    for _ in range(2):
        view = service.call("POST", f"/v1/jobs/{job}/pause")
        assert (view["state"], view["target"], view["reason"]["code"]) == ("running", "paused", "paused")
    until(lambda: service.backend().scaled[-1][1] == 1)
    service.restart()
    until(lambda: service.backend().scaled and service.backend().scaled[-1][1] == 1)
    assert runner.complete(lease.token).settled == (lease.token,)
    assert [order.kind for order in runner.lease(1).orders] == ["stop"]
    for _ in range(2):
        view = service.call("POST", f"/v1/jobs/{job}/resume")
        assert (view["target"], view["reason"]) == ("done", None)
    until(lambda: service.backend().scaled[-1][1] == 2)
    service.runner(job, 1).work()
    ended = service.job(job)
    assert (ended.state, ended.counts.succeeded) == (State.SUCCEEDED, 3)
    assert service.call("POST", f"/v1/jobs/{job}/pause")["target"] == "done"
    assert isinstance(caught(lambda: service.call("POST", "/v1/jobs/nope123/resume")), JobNotFoundError)


def test_a_launcher_with_nothing_but_paused_jobs_may_be_ended(service):
    job = service.submit(array="1-3").id
    error = caught(lambda: service.call("POST", "/v1/launcher/stop"))
    assert isinstance(error, LauncherBusyError)
    service.call("POST", f"/v1/jobs/{job}/pause")
    service.call("POST", "/v1/launcher/stop")
    service.ended()


def test_a_job_that_fails_fast_and_keeps_going_is_refused(service):
    service.put_snapshot()
    error = caught(lambda: service.call("POST", "/v1/jobs", body(fail_fast=3, keep_going=True)))
    assert "keep going" in error.sentence


def test_what_waits_in_a_runner_is_shown_as_waiting(service):
    job = service.submit(array="1-9", is_array=True).id
    runner = service.runner(job)
    runner.begin()
    runner.lease(5)
    for view in (service.call("GET", f"/v1/jobs/{job}"), service.call("GET", "/v1/jobs")["jobs"][0]):
        assert (view["counts"]["pending"], view["counts"]["running"]) == (8, 1)


def test_an_array_that_runs_names_its_slowest_task_and_a_listing_does_not(service):
    job = service.submit(array="3-5", is_array=True).id
    runner = service.runner(job)
    runner.begin()
    runner.lease(2)
    assert service.call("GET", f"/v1/jobs/{job}")["slowest"]["task"] == 3
    assert service.call("GET", "/v1/jobs")["jobs"][0]["slowest"] is None
