"""What tasks saved: the newest of each is kept, and handed out with the task's next lease."""

from __future__ import annotations

import pytest

from fakes import submitted
from offload.errors import LeaseLostError
from offload.model.ids import pool_id, runner_id
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.store import checkpoints, grants, manifests, tasks
from offload.wire.runner_protocol import Completion


def a_file(text: str) -> Manifest:
    """A directory with one file."""
    return Manifest.of([Entry(b"n", Kind.FILE, 0o644, len(text), digest_of(text.encode()))])


def put(store, text: str) -> str:
    return submitted.put(store, a_file(text))


@pytest.fixture
def job(store):
    return submitted.submit(store, "1-2", files=a_file("sent"), retries=3)


def grant(store, job):
    runner = runner_id(pool_id(job), 0)
    (lease,) = store.run_now(grants.grant, runner, slots=1, known=(), now=2.0, ttl=60.0)
    return lease


def preempt(store, job, lease):
    reason = Reason(code=ReasonCode.PREEMPTED, sentence="It was.")
    completion = Completion(token=lease.token, outcome=Outcome(exit_status=143, reason=reason))
    store.run_now(tasks.settle, runner_id(pool_id(job), 0), [completion], 5.0)


def is_kept(store, digest) -> bool:
    store.run_now(manifests.drop_unreferenced, 100.0)
    return store.run_now(manifests.touch, digest, 1.0)


def test_the_next_attempt_is_told_what_the_last_one_saved(store, job):
    first = grant(store, job)
    assert first.checkpoint is None
    digest = put(store, "saved")
    store.run_now(checkpoints.keep, first.token, digest)
    preempt(store, job, first)
    again = grant(store, job)
    assert (again.task, again.attempt, again.checkpoint) == (1, 2, digest)
    (repeated,) = store.run_now(
        grants.grant, runner_id(pool_id(job), 0), slots=1, known=(), now=2.0, ttl=60.0
    )
    assert repeated.checkpoint == digest


def test_each_task_has_its_own(store, job):
    first = grant(store, job)
    store.run_now(checkpoints.keep, first.token, put(store, "saved"))
    runner = runner_id(pool_id(job), 1)
    (other,) = store.run_now(grants.grant, runner, slots=1, known=(), now=2.0, ttl=60.0)
    assert (other.task, other.checkpoint) == (2, None)


def test_only_the_newest_is_kept_and_what_else_needs_it_stays(store, job):
    lease = grant(store, job)
    sent = put(store, "sent")
    old, new = put(store, "old"), put(store, "new")
    for digest in (sent, old, old, new):
        store.run_now(checkpoints.keep, lease.token, digest)
    assert (is_kept(store, old), is_kept(store, new), is_kept(store, sent)) == (False, True, True)


def test_it_goes_with_the_results_of_the_job(store, job):
    lease = grant(store, job)
    digest = put(store, "saved")
    store.run_now(checkpoints.keep, lease.token, digest)
    store.run_now(manifests.forget_results, job, limit=10)
    assert not is_kept(store, digest)


def test_who_has_lost_the_lease_keeps_nothing(store, job):
    lease = grant(store, job)
    preempt(store, job, lease)
    with pytest.raises(LeaseLostError):
        store.run_now(checkpoints.keep, lease.token, put(store, "late"))
