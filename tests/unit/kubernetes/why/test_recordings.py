"""What a real API server said, and what a person is told: every recording of ``tests/kubernetes/record.py``.

It is looked at as if the pod had just been made, and again later: some things are hopeless once they lasted.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest

from offload.backends.kubernetes.objects import Event, Job, Pod
from offload.backends.kubernetes.why import gone, observe, observe_job
from offload.model.observation import Observation, Phase
from offload.model.reasons import NOT_CHARGED, OWN_DOING, ReasonCode

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FOLDER = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
LATER = 150.0
"""Seconds after the pod was made; from then on nothing changes by waiting alone."""
AT_ONCE, NEVER = "at once", "never"
"""When it is final; else once it has lasted."""


@dataclass(frozen=True)
class Recording:
    deleted: bool
    job: Job | None
    pods: tuple[Pod, ...]
    events: tuple[Event, ...]

    def about(self, uid: str) -> list[Event]:
        return [event for event in self.events if event.involved_object.uid == uid]

    def pool(self) -> Observation | None:
        if self.job is None:
            return None
        return observe_job(self.job, self.pods, self.about(self.job.metadata.uid), NOW)

    def runner(self, later: float = LATER) -> Observation | None:
        if not self.pods:
            return None
        pod, events = self.pods[0], self.about(self.pods[0].metadata.uid)
        if self.deleted:
            return gone(pod, events)
        return observe(pod, events, pod.metadata.creation_timestamp + timedelta(seconds=later))


@cache
def load(name: str) -> Recording:
    whole = json.loads((FOLDER / f"{name}.json").read_text())
    return Recording(
        deleted=whole["deleted"],
        job=msgspec.convert(whole["job"], Job | None),
        pods=msgspec.convert(whole["pods"], tuple[Pod, ...]),
        events=msgspec.convert(whole["events"], tuple[Event, ...]),
    )


def told(seen: Observation | None) -> dict[str, object]:
    """Phase, code, finality and sentence; what has no reason has no code and no sentence."""
    assert seen is not None
    reason = seen.reason
    said = (
        {"code": reason.code.value, "sentence": reason.sentence} if reason else {"code": "", "sentence": ""}
    )
    return {"phase": seen.phase.value, "final": seen.final, **said}


EXPECTED = tomllib.loads((FOLDER.parent / "expected.toml").read_text())
RUNNERS, POOLS = EXPECTED["runner"], EXPECTED["pool"]


def test_at_least_forty_situations_are_recorded_and_none_is_without_expectation():
    assert len(NAMES) >= 40
    assert set(NAMES) == RUNNERS.keys() | POOLS.keys()


@pytest.mark.parametrize("name", sorted(RUNNERS))
def test_a_runner_is_described_in_plain_words(name):
    expected = RUNNERS[name]
    assert told(load(name).runner()) == {**expected, "final": expected["final"] != NEVER}


@pytest.mark.parametrize("name", sorted(RUNNERS))
def test_what_may_still_change_is_not_final_at_once(name):
    assert load(name).runner(later=0).final == (RUNNERS[name]["final"] == AT_ONCE)


@pytest.mark.parametrize("name", sorted(POOLS))
def test_a_pool_is_described_in_plain_words(name):
    expected = POOLS[name]
    assert told(load(name).pool()) == {**expected, "final": expected["final"] != NEVER}


@pytest.mark.parametrize("name", sorted(RUNNERS.keys() - POOLS.keys()))
def test_a_pool_whose_runners_are_there_needs_no_words(name):
    assert load(name).pool() is None


@pytest.mark.parametrize("name", NAMES)
def test_the_clusters_own_words_stand_beside_the_sentence(name):
    for seen in (load(name).runner(), load(name).pool()):
        if seen is None or seen.reason is None or not seen.reason.words:
            continue
        raw = (FOLDER / f"{name}.json").read_text()
        for part in seen.reason.words.replace(": ", "; ").split("; "):
            assert json.dumps(part)[1:-1] in raw


@pytest.mark.parametrize("name", NAMES)
def test_every_observation_names_the_runner_and_its_pool(name):
    runner = load(name).runner()
    if runner is not None:
        assert runner.pool == "k7m2q9x-0"
        assert runner.runner.startswith("k7m2q9x-0-0-")
    pool = load(name).pool()
    if pool is not None:
        assert (pool.pool, pool.runner) == ("k7m2q9x-0", None)


def test_losses_that_the_cluster_caused_are_never_charged():
    for name in ("deleted", "job_deleted", "evicted_by_api", "node_removed", "node_full", "oom_runner"):
        assert load(name).runner().reason.code in NOT_CHARGED
    for name in ("oom_task", "disk_full", "disk_of_container_full"):
        assert load(name).runner().reason.code in OWN_DOING


def test_a_pod_whose_node_was_given_up_is_lost_with_its_node_once_it_is_gone():
    for name in ("node_given_up", "preempted"):
        recording = load(name)
        after = gone(recording.pods[0], recording.about(recording.pods[0].metadata.uid))
        expected = ReasonCode.NODE_LOST if name == "node_given_up" else ReasonCode.PREEMPTED
        assert (after.phase, after.reason.code) == (Phase.GONE, expected)
