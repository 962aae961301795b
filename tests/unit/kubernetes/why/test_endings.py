"""Endings: other reasons than the rig has, and cgroup v2.

The words are those of the sources and the documentation of the programs that write them.
"""

from __future__ import annotations

import msgspec
import pytest

from fakes.pods import START, at, container, event, pod
from offload.backends.kubernetes.objects import Condition, Running, Terminated, Waiting
from offload.backends.kubernetes.why import gone, observe
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode


def test_a_container_killed_as_a_group_for_want_of_memory_runs_until_its_runner_is_done():
    """With cgroup v2 all processes of a container die at once; the rig has version 1."""
    died = Terminated(exit_code=137, reason="OOMKilled", started_at=START, finished_at=at(60))
    alive = container("runner", running=Running(started_at=START))
    during = pod(phase="Running", runner=alive, task=container("task", terminated=died))
    assert observe(during, (), at(61)).phase is Phase.RUNNING
    ended = container("runner", terminated=Terminated(exit_code=0, reason="Completed"))
    after = pod(phase="Failed", runner=ended, task=container("task", terminated=died))
    seen = observe(after, (), at(62))
    assert (seen.phase, seen.reason.code) == (Phase.ENDED, ReasonCode.OUT_OF_MEMORY)
    assert (
        seen.reason.sentence
        == "The script needed more than its memory limit of 4 GiB. Give it more with `--memory`."
    )


@pytest.mark.parametrize(
    ("status", "code", "part"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: memory. Threshold: 100Mi. "},
         ReasonCode.EVICTED, "ran low on memory"),
        ({"reason": "Evicted", "message": "The node had condition: [DiskPressure]. "},
         ReasonCode.EVICTED, "in trouble"),
        ({"reason": "Evicted", "message": 'Container task exceeded its local ephemeral storage limit "1Gi".'},
         ReasonCode.OUT_OF_DISK, "1 GiB"),
        ({"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."},
         ReasonCode.NODE_LOST, "shut down"),
        ({"reason": "NodeShutdown", "message": "Pod was rejected as the node is shutting down."},
         ReasonCode.NODE_LOST, "down"),
        ({"reason": "UnexpectedAdmissionError", "message": "Allocate failed due to no healthy devices"},
         ReasonCode.RUNNER_LOST, "promised"),
        ({"reason": "OutOfnvidia.com/gpu", "message": "Node didn't have enough resource"},
         ReasonCode.RUNNER_LOST, "full"),
        ({"reason": "Preempting", "message": "Preempted in order to admit critical pod"},
         ReasonCode.PREEMPTED, "place"),
        ({"conditions": (Condition(type="DisruptionTarget", status="True", reason="SomethingNew"),)},
         ReasonCode.EVICTED, "of its own"),
        ({}, ReasonCode.RUNNER_LOST, "without saying why"),
    ],
)  # fmt: skip
def test_every_way_to_lose_a_node_has_its_words(status, code, part):
    seen = observe(pod(phase="Failed", **status), (), START)
    assert (seen.phase, seen.reason.code, seen.final) == (Phase.ENDED, code, False)
    assert part in seen.reason.sentence


@pytest.mark.parametrize(("grace", "code"), [(30, ReasonCode.RUNNER_LOST), (0, None), (None, None)])
def test_a_pod_that_was_alive_when_it_was_deleted_did_not_end_in_order(grace, code):
    ended = pod(phase="Succeeded", task=container("task", terminated=Terminated(exit_code=0)))
    meta = msgspec.structs.replace(
        ended.metadata,
        deletion_timestamp=None if grace is None else at(30),
        deletion_grace_period_seconds=grace,
    )
    seen = observe(msgspec.structs.replace(ended, metadata=meta), (), at(60))
    assert (seen.phase, seen.reason and seen.reason.code) == (Phase.ENDED, code)


def test_a_node_that_an_autoscaler_removed_took_its_pod_along():
    seen = gone(pod(phase="Running"), (event("ScaleDown", "deleting pod for node scale down"),))
    assert (seen.phase, seen.reason.code) == (Phase.GONE, ReasonCode.EVICTED)


def test_a_runner_that_crashes_after_days_of_work_refuses_nothing_for_good():
    died = Terminated(exit_code=1, reason="Error", finished_at=at(86400))
    one = pod(
        phase="Running",
        runner=container("runner", 3, died, waiting=Waiting(reason="CrashLoopBackOff")),
        task=container("task", running=Running(started_at=START)),
    )
    seen = observe(one, (), at(86401))
    assert (seen.phase, seen.reason.code, seen.final) == (Phase.UNKNOWN, ReasonCode.RUNNER_LOST, False)
