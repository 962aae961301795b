"""Pods whose containers run, more or less."""

from __future__ import annotations

from recording.situation import Situation, delete, pods, script, together

LIVING: tuple[Situation, ...] = (
    Situation(name="running", story="Both containers run", until=lambda seen: seen.runs),
    Situation(
        name="runner_restarted",
        story="The runner ended while the script goes on; Kubernetes waits before it starts it anew",
        change=script("sleep 3; exit 1", runner=True),
        until=lambda seen: seen.down("runner") and "running" in seen.status("task").get("state", {}),
    ),
    Situation(
        name="terminating",
        story="The pod is being deleted and its containers still run",
        change=together(script("trap '' TERM; sleep 30"), pods(terminationGracePeriodSeconds=20)),
        act=delete,
        until=lambda seen: "deletionTimestamp" in seen.pod["metadata"] and seen.runs,
    ),
)
