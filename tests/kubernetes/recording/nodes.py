"""Pods that lose their node, or their place on it."""

from __future__ import annotations

from recording.situation import Situation, apply, asks, on_node, remove, together
from recording.things import ended, filler, named

NODES: tuple[Situation, ...] = (
    Situation(
        name="node_lost",
        story="The node falls silent",
        change=on_node("why-lost-0"),
        nodes={"why-lost-0": {}},
        silences=True,
        until=lambda seen: seen.has_event("NodeNotReady"),
        seconds=120,
    ),
    Situation(
        name="node_given_up",
        story="The cluster gives up a silent node",
        change=on_node("why-lost-1"),
        nodes={"why-lost-1": {}},
        silences=True,
        until=lambda seen: bool(seen.condition("DisruptionTarget")),
        seconds=180,
    ),
    Situation(
        name="node_removed",
        story="The node is removed from the cluster",
        change=on_node("why-gone-0"),
        nodes={"why-gone-0": {}},
        act=remove("why-gone-0"),
        silences=True,
        until=ended,
        deleted=True,
        seconds=180,
    ),
    Situation(
        name="preempted",
        story="Work of higher priority takes the place",
        change=together(on_node("why-busy-0"), asks("cpu", "6")),
        nodes={"why-busy-0": {}},
        objects=(named("PriorityClass", "scheduling.k8s.io/v1", "why-urgent", value=1000),),
        act=apply(
            filler("urgent", "why-busy-0", {"cpu": "7", "memory": "1Gi"}, priorityClassName="why-urgent"),
        ),
        until=lambda seen: bool(seen.condition("DisruptionTarget")),
    ),
)
