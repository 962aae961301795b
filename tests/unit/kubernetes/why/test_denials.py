"""Jobs and denials: what else keeps pods from being made.

The words are those of the sources and the documentation of the programs that write them.
"""

from __future__ import annotations

import pytest

from fakes.pods import START, at, event, pod, waiting
from offload.backends.kubernetes.objects import Event, EventSeries, Job, JobSpec, JobStatus, Meta
from offload.backends.kubernetes.why import explain_denial, observe_job
from offload.model.reasons import ReasonCode


def denied_job(*told: Event, pods=(), parallelism: int = 2):
    meta = Meta(name="offload-k7m2q9x-0-0", uid="j", labels={"offload.dev/pool": "k7m2q9x-0"})
    job = Job(metadata=meta, spec=JobSpec(parallelism=parallelism), status=JobStatus())
    return observe_job(job, pods, told, at(100))


def test_a_pool_that_got_its_pods_after_a_denial_has_nothing_to_say():
    words = 'pods "x" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=3, limited: cpu=4'
    denied, made = event("FailedCreate", words, seconds=10), event("SuccessfulCreate", seconds=20)
    assert denied_job(denied, made, pods=(pod(),)) is None
    assert denied_job(denied, pods=(pod(), pod())) is None
    more = denied_job(made, event("FailedCreate", words, seconds=30), pods=(pod(),))
    assert (more.reason.code, more.final) == (ReasonCode.WAITING_FOR_QUOTA, False)
    assert more.reason.sentence == "Waits until the quota q has room: it needs 2 CPUs (3 of 4 are in use)."


def test_pods_that_ended_do_not_hide_why_no_more_are_made():
    words = 'pods "x" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=3, limited: cpu=4'
    over = (pod(phase="Failed"), pod(phase="Failed"))
    seen = denied_job(event("FailedCreate", words, seconds=30), pods=over)
    assert seen.reason.code is ReasonCode.WAITING_FOR_QUOTA


def test_a_job_that_was_just_made_says_so():
    assert denied_job().reason.sentence == "The cluster makes the runner."


def test_an_event_told_in_the_new_way_counts_as_often_as_it_came():
    old = Event(
        reason="Failed",
        message="pull image",
        event_time=START,
        series=EventSeries(count=5, last_observed_time=at(9)),
    )
    assert waiting("ErrImagePull", "manifest unknown", old).final


@pytest.mark.parametrize(
    ("words", "code", "final"),
    [
        ('admission webhook "gate.example.com" denied the request: no latest tags', ReasonCode.REFUSED, True),
        ('Internal error occurred: failed calling webhook "gate.example.com": context deadline exceeded',
         ReasonCode.WAITING_FOR_CAPACITY, False),
        ('jobs.batch is forbidden: User "x:y" cannot create resource "jobs" in API group "batch"',
         ReasonCode.WAITING_FOR_CAPACITY, False),
        ('Job.batch "x" is invalid: spec.template: Required value', ReasonCode.REFUSED, True),
        ('namespaces "analytics" not found', ReasonCode.REFUSED, True),
        ("unable to create new content in namespace analytics because it is being terminated",
         ReasonCode.REFUSED, True),
        ('pods "x" is forbidden: minimum cpu usage per Container is 100m, but request is 50m',
         ReasonCode.REFUSED, True),
        ("etcdserver: request timed out", ReasonCode.WAITING_FOR_CAPACITY, False),
    ],
)  # fmt: skip
def test_a_refusal_is_final_only_if_asking_again_is_of_no_use(words, code, final):
    found = explain_denial(words)
    assert (found.reason.code, found.final) == (code, final)
    assert found.reason.words == words
