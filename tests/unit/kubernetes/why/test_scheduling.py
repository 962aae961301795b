"""Nodes: what schedulers and autoscalers say that the rig can't bring about.

The words are those of the sources and the documentation of the programs that write them.
"""

from __future__ import annotations

import pytest

from fakes.pods import event, unplaced
from offload.backends.kubernetes.objects import SchedulingGate
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode

USELESS = "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


def test_the_example_of_a_cluster_with_three_nodes_without_gpus_and_a_full_one():
    seen = unplaced(
        "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 1 No "
        "preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling.",
        seconds=3600,
    )
    assert (seen.phase, seen.reason.code, seen.final) == (
        Phase.WAITING,
        ReasonCode.WAITING_FOR_CAPACITY,
        False,
    )
    expected = "Waits for a node with 2 GPUs: of 4 nodes, 3 have fewer GPUs or none and 1 is full."
    assert seen.reason.sentence == expected


def test_a_taint_that_is_named_is_shown_and_one_that_passes_is_waited_for():
    text = (
        "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {%s}. "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    kept = unplaced(text % "dedicated: team-b", seconds=40)
    assert kept.final
    assert "1 is kept for others or not ready (taint dedicated=team-b)" in kept.reason.sentence
    for key in ("node.kubernetes.io/not-ready: ", "node.kubernetes.io/unreachable: ", "x/agent-not-ready: "):
        assert not unplaced(text % key, seconds=10**6).final


@pytest.mark.parametrize(
    "message",
    [
        "0/3 nodes are available: 3 Insufficient cpu.",
        "0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible due to its policy.",
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. " + USELESS,
        "0/3 nodes are available: 3 Too many pods. preemption: 0/3 nodes are available: 3 No victims.",
        "no nodes available to schedule pods",
        "running PreBind plugin: something broke",
        "",
    ],
)
def test_a_cluster_that_may_have_room_later_is_waited_for(message):
    seen = unplaced(message, seconds=10**6, requests={"cpu": "4"})
    assert (seen.phase, seen.final) == (Phase.WAITING, False)


def test_nodes_without_the_volume_do_not_make_a_full_one_too_small():
    seen = unplaced(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had volume node affinity conflict. "
        "preemption: 0/3 nodes are available: 1 No preemption victims, 2 Preemption is not helpful.",
        requests={"cpu": "4"},
    )
    expected = "Waits for a node with 4 CPUs: of 3 nodes, 1 is full and 2 can't reach its volume."
    assert seen.reason.sentence == expected


def test_an_autoscaler_that_took_its_promise_back_is_believed():
    text = "0/3 nodes are available: 3 Insufficient cpu. " + USELESS
    promised = event("TriggeredScaleUp", "pod triggered scale-up: [{big 0->1 (max: 3)}]", seconds=5)
    refused = event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 Insufficient cpu", seconds=60)
    assert unplaced(text, promised, seconds=3600).reason.code is ReasonCode.WAITING_FOR_NODE
    assert unplaced(text, promised, refused, seconds=61).final
    assert not unplaced(text, refused, event("TriggeredScaleUp", seconds=90), seconds=91).final


def test_karpenters_refusal_counts_as_an_autoscalers():
    text = "0/3 nodes are available: 3 Insufficient cpu. " + USELESS
    words = (
        'Failed to schedule pod, incompatible with nodepool "default", no instance type satisfied resources'
    )
    seen = unplaced(text, event("FailedScheduling", words, by="karpenter"), seconds=1)
    assert seen.final
    assert words in seen.reason.words
    promised = event("Nominated", "Pod should schedule on: nodeclaim/default-x2vq7", seconds=5)
    again = event("FailedScheduling", words, by="karpenter", seconds=60)
    assert unplaced(text, promised, seconds=20).reason.code is ReasonCode.WAITING_FOR_NODE
    assert unplaced(text, promised, again, seconds=61).final


def test_a_pod_that_a_queue_holds_back_waits_for_quota():
    seen = unplaced("blocked", gates=(SchedulingGate(name="kueue.x-k8s.io/admission"),))
    assert seen.reason.code is ReasonCode.WAITING_FOR_QUOTA


def test_a_launcher_whose_clock_is_behind_gives_nothing_up_early():
    text = "0/3 nodes are available: 3 Insufficient cpu. " + USELESS
    assert not unplaced(text, seconds=-7200).final
