"""Which change of a pool's Jobs is due; the Job controller's habits are what is guarded against."""

from datetime import UTC, datetime, timedelta

import pytest

from offload.backends.kubernetes import scaling
from offload.backends.kubernetes.objects import (
    Condition,
    ContainerState,
    ContainerStatus,
    Job,
    JobSpec,
    JobStatus,
    Meta,
    Owner,
    Pod,
    PodStatus,
    Running,
)
from offload.backends.kubernetes.scaling import Create, Resize

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = (ContainerStatus(name="runner", state=ContainerState(running=Running(started_at=NOW))),)


def job(generation=0, parallelism=1, *, succeeded=0, conditions=(), deleted=None):
    return Job(
        metadata=Meta(
            name=f"offload-k7m2q9x-0-{generation}", uid=f"uid-{generation}", deletion_timestamp=deleted
        ),
        spec=JobSpec(parallelism=parallelism),
        status=JobStatus(succeeded=succeeded, conditions=conditions),
    )


def pod(name, generation=0, *, phase="Pending", started=(), deleted=None):
    owner = Owner(kind="Job", uid=f"uid-{generation}")
    return Pod(
        metadata=Meta(name=name, owner_references=(owner,), deletion_timestamp=deleted),
        status=PodStatus(phase=phase, init_container_statuses=started),
    )


def plan_scale(jobs, pods, runners, now=NOW):
    return scaling.plan_scale(jobs, pods, runners, now)


def test_a_pool_without_a_job_gets_the_first_generation():
    assert plan_scale([], [], 3) == Create(0, 3)


def test_nothing_is_made_for_nobody():
    assert plan_scale([], [], 0) is None


def test_a_job_that_is_as_wanted_is_left_alone():
    assert plan_scale([job(parallelism=3)], [], 3) is None


def test_an_open_job_grows():
    existing = job(parallelism=2)
    assert plan_scale([existing], [], 5) == Resize(existing, 5)


def test_runners_that_have_not_begun_are_given_up():
    existing = job(parallelism=4)
    assert plan_scale([existing], [pod("a"), pod("b")], 1) == Resize(existing, 1)


def test_a_job_never_shrinks_below_the_runners_that_have_begun():
    existing = job(parallelism=4)
    pods = [pod(name, phase="Running", started=STARTED) for name in "abc"] + [pod("d")]
    assert plan_scale([existing], pods, 1) == Resize(existing, 3)
    assert plan_scale([job(parallelism=3)], pods[:3], 0) is None


def test_a_pod_that_is_pending_may_have_begun_when_its_runner_was_started():
    existing = job(parallelism=2)
    pods = [pod("a", started=STARTED), pod("b")]
    assert plan_scale([existing], pods, 0) == Resize(existing, 1)


@pytest.mark.parametrize(
    "closed",
    [
        job(succeeded=1),
        job(conditions=(Condition(type="Complete", status="True"),)),
        job(deleted=NOW),
    ],
    ids=["a runner ended in order", "complete", "being deleted"],
)
def test_a_closed_job_is_followed_by_the_next_generation(closed):
    assert plan_scale([closed], [], 2) == Create(1, 2)


def test_a_job_that_failed_for_good_is_not_followed_by_another():
    assert plan_scale([job(conditions=(Condition(type="Failed", status="True"),))], [], 2) is None


def test_runners_of_a_closed_job_count_while_they_live():
    closed = job(succeeded=1, parallelism=3)
    pods = [pod("a", phase="Succeeded"), pod("b", phase="Running", started=STARTED)]
    assert plan_scale([closed], pods, 1) is None
    assert plan_scale([closed], pods, 3) == Create(1, 2)


def test_pods_that_are_being_deleted_do_not_count():
    closed = job(succeeded=1)
    assert plan_scale([closed], [pod("a", phase="Running", started=STARTED, deleted=NOW)], 1) == Create(1, 1)


def test_the_newest_open_generation_is_the_one_that_changes():
    old, new = job(0, succeeded=1), job(1, 1)
    assert plan_scale([new, old], [pod("a", 0, phase="Running", started=STARTED)], 3) == Resize(new, 2)


@pytest.mark.parametrize(("seconds", "wanted"), [(5, 1), (60, 2)])
def test_a_pod_that_should_have_ended_long_ago_gets_another_one_in_its_place(seconds, wanted):
    existing = job(parallelism=3 - wanted)
    lost = pod("a", phase="Running", started=STARTED, deleted=NOW)
    change = plan_scale([existing], [lost], 1, NOW + timedelta(seconds=seconds))
    assert change == Resize(existing, wanted)
    assert plan_scale([job(parallelism=wanted)], [lost], 1, NOW + timedelta(seconds=seconds)) is None
