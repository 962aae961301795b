"""Pods that no node takes yet."""

from __future__ import annotations

from recording.situation import Situation, asks, pods, volume
from recording.things import claim, filler, unplaced

PLACING: tuple[Situation, ...] = (
    Situation(
        name="new",
        story="The pod was just made and nobody looked at it",
        change=pods(schedulerName="nobody"),
        until=lambda seen: bool(seen.pods),
    ),
    Situation(
        name="too_many_cpus", story="No node has so many CPUs", change=asks("cpu", "1000"), until=unplaced
    ),
    Situation(
        name="too_much_memory",
        story="No node has so much memory",
        change=asks("memory", "100Ti"),
        until=unplaced,
    ),
    Situation(
        name="too_many_gpus",
        story="No node has so many GPUs",
        change=asks("nvidia.com/gpu", "64"),
        until=unplaced,
    ),
    Situation(
        name="too_much_disk",
        story="No node has so much disk",
        change=asks("ephemeral-storage", "100Ti"),
        until=unplaced,
    ),
    Situation(
        name="gpus_in_use",
        story="The node with GPUs has lent them to others",
        change=asks("nvidia.com/gpu", "2"),
        objects=(filler("other", "fake-gpu-0", {"nvidia.com/gpu": "3"}),),
        until=unplaced,
    ),
    Situation(
        name="labels",
        story="No node has the labels",
        change=pods(nodeSelector={"zone": "moon"}),
        until=unplaced,
    ),
    Situation(
        name="taint",
        story="The only node with GPUs is kept for others",
        change=asks("nvidia.com/gpu", "1", tolerates=False),
        until=unplaced,
    ),
    Situation(
        name="gated",
        story="A program holds the pod back",
        change=pods(schedulingGates=[{"name": "example.com/budget"}]),
        until=lambda seen: any(
            one.get("reason") == "SchedulingGated" for one in seen.pod.get("status", {}).get("conditions", [])
        ),
    ),
    Situation(
        name="claim_missing",
        story="A volume claim doesn't exist",
        change=volume({"persistentVolumeClaim": {"claimName": "datasets"}}),
        until=unplaced,
    ),
    Situation(
        name="claim_unbound",
        story="A volume claim names a storage class that doesn't exist",
        objects=(claim("datasets", "fast"),),
        change=volume({"persistentVolumeClaim": {"claimName": "datasets"}}),
        until=unplaced,
    ),
    Situation(
        name="scale_up",
        story="An autoscaler starts a node",
        change=asks("nvidia.com/gpu", "8"),
        once=unplaced,
        until=lambda seen: seen.has_event("TriggeredScaleUp"),
        writes=(
            "TriggeredScaleUp",
            "pod triggered scale-up: [{gpu-large 1->2 (max: 10)}]",
            "cluster-autoscaler",
        ),
    ),
    Situation(
        name="no_scale_up",
        story="An autoscaler can't help",
        change=asks("nvidia.com/gpu", "64"),
        once=unplaced,
        until=lambda seen: seen.has_event("NotTriggerScaleUp"),
        writes=(
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: 2 Insufficient nvidia.com/gpu",
            "cluster-autoscaler",
        ),
    ),
    Situation(
        name="scaled_to_the_limit",
        story="An autoscaler has as many nodes as it may",
        change=asks("nvidia.com/gpu", "64"),
        once=unplaced,
        until=lambda seen: seen.has_event("NotTriggerScaleUp"),
        writes=(
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: 1 max node group size reached",
            "cluster-autoscaler",
        ),
    ),
    Situation(
        name="karpenter",
        story="Karpenter starts a node",
        change=asks("cpu", "64"),
        once=unplaced,
        until=lambda seen: seen.has_event("Nominated"),
        writes=("Nominated", "Pod should schedule on: nodeclaim/default-x2vq7", "karpenter"),
    ),
)
