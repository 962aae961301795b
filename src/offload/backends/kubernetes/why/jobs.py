"""Why a pool has no runners, or too few: what the Job controller and the queue say of its Job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from offload.backends.kubernetes.names import POOL
from offload.backends.kubernetes.objects import Condition, Event, Job, Pod
from offload.backends.kubernetes.why.denials import explain_denial
from offload.backends.kubernetes.why.evidence import Verdict, holds, latest, latest_since, verdict
from offload.model.ids import PoolId
from offload.model.observation import Observation, Phase
from offload.model.reasons import ReasonCode

QUEUE: Final = "kueue.x-k8s.io/queue-name"
_DONE: Final = ("Complete", "SuccessCriteriaMet")
_PENDING: Final = ("Pending", "Suspended", "Stopped", "Preempted", "EvictedDueToPreempted")


def observe_job(job: Job, pods: Sequence[Pod], events: Sequence[Event], now: datetime) -> Observation | None:
    """What is to be said of a pool as a whole; None when its runners speak for themselves.

    Args:
        job: the pool's Job.
        pods: the pool's pods, of this Job or of others.
        events: about the Job.
        now: by the cluster's clock.
    """
    del now  # nothing about a Job becomes hopeless by waiting alone
    own = [
        pod for pod in pods if any(owner.uid == job.metadata.uid for owner in pod.metadata.owner_references)
    ]
    failed = holds(job.status.conditions, "Failed") or holds(job.status.conditions, "FailureTarget")
    if failed is not None:
        return _tell(job, Phase.ENDED, _gave_up(failed))
    if any(holds(job.status.conditions, kind) for kind in _DONE):
        return None
    if job.spec.suspend:
        return _tell(job, Phase.WAITING, _suspended(job, events))
    alive = [pod for pod in own if pod.status.phase not in ("Succeeded", "Failed")]
    if job.metadata.deletion_timestamp is not None or job.spec.parallelism <= len(alive):
        return None
    return _unmade(job, events, any_made=bool(own) or job.status.succeeded > 0)


def _unmade(job: Job, events: Sequence[Event], *, any_made: bool) -> Observation | None:
    """Why the Job has fewer pods than it is to have."""
    denied = latest_since(events, ("FailedCreate",), ("SuccessfulCreate", "Resumed"))
    if denied is not None:
        return _tell(job, Phase.WAITING, explain_denial(denied.message))
    if any_made:
        return None
    return _tell(job, Phase.WAITING, verdict(ReasonCode.STAGING, "The cluster makes the runner."))


def _tell(job: Job, phase: Phase, found: Verdict) -> Observation:
    pool = PoolId(job.metadata.labels.get(POOL, ""))
    return Observation(pool=pool, phase=phase, reason=found.reason, final=found.final)


def _gave_up(failed: Condition) -> Verdict:
    words = ": ".join(part for part in (failed.reason, failed.message) if part)
    if failed.reason == "DeadlineExceeded":
        sentence = (
            "The job lived as long as the cluster's settings let one live (`max_lifetime`), and was ended."
        )
        return verdict(ReasonCode.TIMEOUT, sentence, words, final=True)
    if failed.reason == "BackoffLimitExceeded":
        sentence = "The cluster gave up, because too many runners of the job ended in failure."
        return verdict(ReasonCode.RUNNER_LOST, sentence, words, final=True)
    return verdict(
        ReasonCode.RUNNER_LOST, "The cluster gave the job up; its own words say why.", words, final=True
    )


def _suspended(job: Job, events: Sequence[Event]) -> Verdict:
    news = latest(events, *_PENDING)
    words = news.message if news is not None else ""
    queue = job.metadata.labels.get(QUEUE)
    if queue:
        sentence = f"Waits in the queue {queue} of the cluster until its turn comes."
        return verdict(ReasonCode.WAITING_FOR_QUOTA, sentence, words)
    sentence = "Somebody suspended its Job on the cluster; it goes on once that person resumes it."
    return verdict(ReasonCode.WAITING_FOR_QUOTA, sentence, words)
