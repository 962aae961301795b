"""Jobs that don't get their pods, or are given up."""

from __future__ import annotations

from recording.situation import Situation, asks, pods, script, spec, task_of, together
from recording.things import denied, filler, named, policy, quota

JOBS: tuple[Situation, ...] = (
    Situation(
        name="quota_for_now",
        story="The quota's memory is in use",
        change=asks("memory", "64Mi"),
        until=denied,
        objects=(
            quota(requests_memory="150Mi"),
            filler("other", "fake-gpu-0", {"cpu": "1", "memory": "100Mi"}),
        ),
    ),
    Situation(
        name="quota_never",
        story="One runner asks for more than the quota",
        change=asks("memory", "1Gi"),
        objects=(quota(requests_memory="150Mi"),),
        until=denied,
    ),
    Situation(
        name="quota_gpus_never",
        story="One runner asks for more GPUs than the quota",
        change=asks("nvidia.com/gpu", "2"),
        objects=(named("ResourceQuota", "v1", "team-a", spec={"hard": {"requests.nvidia.com/gpu": "1"}}),),
        until=denied,
    ),
    Situation(
        name="quota_unsaid",
        story="The quota wants a limit that isn't given",
        objects=(quota(limits_cpu="4"),),
        until=denied,
    ),
    Situation(
        name="limit_range",
        story="A container may not be so large",
        change=asks("memory", "1Gi"),
        until=denied,
        objects=(
            named(
                "LimitRange",
                "v1",
                "sizes",
                spec={"limits": [{"type": "Container", "max": {"memory": "512Mi"}}]},
            ),
        ),
    ),
    Situation(
        name="pod_security",
        story="The namespace is restricted and the pod isn't",
        until=denied,
        change=lambda job: task_of(job).update(securityContext={}),
    ),
    Situation(
        name="policy",
        story="A rule of the cluster denies the pod",
        objects=policy("why-policy"),
        until=denied,
    ),
    Situation(
        name="account_missing",
        story="The service account doesn't exist",
        change=pods(serviceAccountName="nobody"),
        until=denied,
    ),
    Situation(
        name="priority_missing",
        story="The priority class doesn't exist",
        change=pods(priorityClassName="urgent"),
        until=denied,
    ),
    Situation(
        name="runtime_class_missing",
        story="The runtime class doesn't exist",
        change=pods(runtimeClassName="gvisor"),
        until=denied,
    ),
    Situation(
        name="queued",
        story="The Job waits in a queue",
        change=together(
            spec(suspend=True),
            lambda job: job["metadata"]["labels"].update({"kueue.x-k8s.io/queue-name": "team-a"}),
        ),
        until=lambda seen: bool(seen.condition("Suspended")),
    ),
    Situation(
        name="suspended",
        story="Somebody suspended the Job",
        change=spec(suspend=True),
        until=lambda seen: bool(seen.condition("Suspended")),
    ),
    Situation(
        name="job_deadline",
        story="The Job's deadline is over",
        change=spec(activeDeadlineSeconds=3),
        until=lambda seen: bool(seen.condition("Failed")),
    ),
    Situation(
        name="too_many_failures",
        story="Too many pods of the Job failed",
        change=together(spec(backoffLimit=0), script("exit 1")),
        until=lambda seen: bool(seen.condition("Failed")),
    ),
)
