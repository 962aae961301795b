"""What three streams in any order become: each observation told once, and again when it is another one."""

from __future__ import annotations

from msgspec.structs import replace

from fakes.pods import START, at
from offload.backends.kubernetes.names import labels
from offload.backends.kubernetes.objects import (
    Condition,
    ContainerState,
    ContainerStatus,
    Event,
    Job,
    Meta,
    ObjectReference,
    Owner,
    Pod,
    PodSpec,
    PodStatus,
    Running,
)
from offload.backends.kubernetes.picture import MAX_EVENTS, Picture
from offload.model.ids import PoolId
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode

POOL = PoolId("k7m2q9x-0")
NAME = "offload-k7m2q9x-0-0-abcde"
OWNER = Owner(kind="Job", name="offload-k7m2q9x-0-0", uid="job")
META = Meta(
    name=NAME, uid="pod", creation_timestamp=START, labels=labels(POOL, "me"), owner_references=(OWNER,)
)
UP = ContainerState(running=Running(started_at=START))
PENDING = Pod(metadata=META, status=PodStatus(phase="Pending", start_time=START))
RUNS = Pod(
    metadata=META,
    spec=PodSpec(node_name="node-1"),
    status=PodStatus(
        phase="Running",
        init_container_statuses=(ContainerStatus(name="runner", state=UP, started=True, ready=True),),
        container_statuses=(ContainerStatus(name="task", state=UP, started=True, ready=True),),
    ),
)
JOB = Job(metadata=Meta(name="offload-k7m2q9x-0-0", uid="job", labels=labels(POOL, "me")))


def event(name: str, kind: str = "Pod", uid: str = "pod", about: str = NAME, **more) -> Event:
    return Event(
        metadata=Meta(name=name),
        involved_object=ObjectReference(kind=kind, name=about, uid=uid),
        last_timestamp=START,
        **more,
    )


def told(picture: Picture, seconds: float = 1) -> list[tuple[str | None, Phase]]:
    return [(seen.runner, seen.phase) for seen in picture.changes(at(seconds))]


def test_a_pod_is_told_when_it_changes_and_only_then():
    picture = Picture()
    assert picture.see_pod(PENDING, deleted=False) == POOL
    assert told(picture) == [("k7m2q9x-0-0-abcde", Phase.WAITING)]
    picture.see_pod(PENDING, deleted=False)
    assert told(picture) == []
    picture.see_pod(RUNS, deleted=False)
    assert told(picture) == [("k7m2q9x-0-0-abcde", Phase.RUNNING)]
    picture.see_pod(RUNS, deleted=True)
    assert told(picture) == [("k7m2q9x-0-0-abcde", Phase.GONE)]
    assert (picture.pods, picture.pools()) == ({}, set())


def test_an_event_changes_what_is_said_of_its_pod_whichever_comes_first():
    unplaced = event(
        "e1", reason="FailedScheduling", message="0/1 nodes are available: 1 Insufficient memory."
    )
    for order in ((unplaced, PENDING), (PENDING, unplaced)):
        picture = Picture()
        for one in order:
            if isinstance(one, Pod):
                picture.see_pod(one, deleted=False)
            else:
                picture.see_event(one, deleted=False)
        (seen,) = [seen for seen in picture.changes(at(1)) if seen.runner]
        assert "Insufficient memory" in seen.reason.words


def test_an_event_that_the_api_server_forgets_is_kept_with_its_pod():
    picture = Picture()
    picture.see_pod(PENDING, deleted=False)
    unplaced = event(
        "e1", reason="FailedScheduling", message="0/1 nodes are available: 1 Insufficient memory."
    )
    picture.see_event(unplaced, deleted=False)
    list(picture.changes(at(1)))
    picture.see_event(unplaced, deleted=True)
    assert told(picture) == []


def test_events_of_others_and_too_many_events_are_not_kept():
    picture = Picture()
    picture.see_event(event("e", about="somebody-else", uid="else"), deleted=False)
    picture.see_event(event("e", kind="Node", uid="node"), deleted=False)
    assert not picture._events
    for number in range(3 * MAX_EVENTS):
        picture.see_event(event(f"e{number}"), deleted=False)
    assert len(picture._events["pod"]) == MAX_EVENTS


def test_an_object_that_only_carries_a_copied_label_is_nobodys():
    picture = Picture()
    copied = replace(PENDING, metadata=replace(META, name="somebodys-pod"))
    assert picture.see_pod(copied, deleted=False) is None
    assert picture.see_job(replace(JOB, metadata=Meta(name="offload-other-0-0")), deleted=False) is None
    assert (picture.pods, picture.jobs, told(picture)) == ({}, {}, [])


def test_what_is_said_of_a_whole_pool_is_taken_back_when_a_pod_appears():
    picture = Picture()
    picture.see_job(JOB, deleted=False)
    quota = (
        "exceeded quota: small, requested: limits.memory=1Gi, used: limits.memory=4Gi, "
        "limited: limits.memory=4Gi"
    )
    denied = event("e", kind="Job", uid="job", about=JOB.metadata.name, reason="FailedCreate", message=quota)
    picture.see_event(denied, deleted=False)
    (seen,) = picture.changes(at(1))
    assert (seen.runner, seen.phase, seen.reason.code) == (None, Phase.WAITING, ReasonCode.WAITING_FOR_QUOTA)
    picture.see_pod(RUNS, deleted=False)
    assert (None, Phase.RUNNING) in told(picture, 2)


def test_what_the_cluster_refuses_is_final_and_told_once():
    picture = Picture()
    picture.refuse(POOL, "The namespace is being removed.", "it is being terminated")
    (seen,) = picture.changes(at(1))
    assert (seen.final, seen.reason.words) == (True, "it is being terminated")
    picture.refuse(POOL, "The namespace is being removed.", "it is being terminated")
    assert told(picture) == []


def test_a_job_that_kubernetes_gave_up_is_final():
    picture = Picture()
    late = Condition(type="Failed", status="True", reason="DeadlineExceeded", message="too long")
    picture.see_job(replace(JOB, status=replace(JOB.status, conditions=(late,))), deleted=False)
    (seen,) = picture.changes(at(1))
    assert (seen.final, seen.reason.code) == (True, ReasonCode.TIMEOUT)


def test_what_waits_is_judged_anew_when_time_has_passed():
    picture = Picture()
    picture.see_pod(PENDING, deleted=False)
    missing = event("e", reason="FailedMount", message='secret "password" not found')
    placed = replace(PENDING, spec=PodSpec(node_name="node-1"))
    picture.see_pod(placed, deleted=False)
    picture.see_event(missing, deleted=False)
    first = [seen.final for seen in picture.changes(at(1)) if seen.runner]
    picture.look_again()
    later = [seen.final for seen in picture.changes(at(600)) if seen.runner]
    assert (first, later) == ([False], [True])


def test_a_pod_that_waits_for_the_pools_own_secret_is_noticed_by_its_event():
    picture = Picture()
    placed = replace(PENDING, spec=PodSpec(node_name="node-1"))
    words = 'MountVolume.SetUp failed for volume "token" : secret "offload-k7m2q9x-0" not found'
    picture.see_pod(placed, deleted=False)
    assert not picture.lacks_secret(POOL)
    assert picture.see_event(event("e", reason="FailedMount", message=words), deleted=False) == POOL
    assert picture.lacks_secret(POOL)
    picture.see_pod(RUNS, deleted=False)
    assert not picture.lacks_secret(POOL)
