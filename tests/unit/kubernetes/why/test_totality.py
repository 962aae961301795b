"""Whatever a cluster says, an observation comes of it, and never better news than there is."""

from __future__ import annotations

import copy
import json
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.backends.kubernetes.objects import Event, Job, Pod
from offload.backends.kubernetes.why import explain_denial, gone, observe, observe_job
from offload.backends.kubernetes.why.placement import read_placement
from offload.backends.kubernetes.why.quantities import amount, read_quantity
from offload.model.observation import Observation, Phase
from offload.model.reasons import Reason, ReasonCode

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KNOWN = re.findall(
    r"\S+",
    """
Pending Running Succeeded Failed Unknown True False PodScheduled Ready Unschedulable SchedulingGated
DisruptionTarget PreemptionByScheduler Evicted NodeLost OutOfcpu OOMKilled StartError ErrImagePull
ImagePullBackOff InvalidImageName CrashLoopBackOff CreateContainerConfigError PodInitializing
FailedScheduling FailedMount FailedCreate TriggeredScaleUp NotTriggerScaleUp Pulling Suspended
DeadlineExceeded Always runner task cpu memory nvidia.com/gpu 500m 8Gi 1e3 -1 99999999999999999999999999
kueue.x-k8s.io/queue-name
""",
)
SAID = (
    "",
    "failed to pull: not found",
    'secret "x" not found',
    "0/3 nodes are available: 1 Insufficient cpu, 2 x. preemption: 0/3 nodes are available: 3 not helpful.",
    'pods "x" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=1, limited: cpu=1',
    'Container task exceeded its local ephemeral storage limit "9Gi". ',
)
words = (
    st.sampled_from((*KNOWN, *SAID))
    | st.text(max_size=30)
    | st.lists(st.sampled_from(KNOWN), max_size=4).map(", ".join)
)
FOLDER = Path(__file__).parent / "recordings"
RECORDED = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
FREE = ("name", "uid", "kind", "apiVersion")
"""Keys whose words say which object is meant, not how it is."""


def places(thing: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where words, numbers and truths stand in a recording, and lists and tables that may be missing."""
    children = (
        thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    )
    for key, value in children:
        if not isinstance(value, str) or (
            key not in FREE and not str(key).endswith(("Timestamp", "Time", "At"))
        ):
            yield (*path, key)
        yield from places(value, (*path, key))


PLACES = [list(places({key: one[key] for key in ("pods", "job", "events")})) for one in RECORDED]


@st.composite
def twisted(draw: st.DrawFn) -> tuple[Job | None, tuple[Pod, ...], list[Event]]:
    """A recording of which a few places say something else, or nothing."""
    number = draw(st.integers(0, len(RECORDED) - 1))
    whole = copy.deepcopy({key: RECORDED[number][key] for key in ("pods", "job", "events")})
    for path in draw(st.lists(st.sampled_from(PLACES[number]), min_size=1, max_size=5)):
        _twist(whole, path, draw)
    return (
        msgspec.convert(whole["job"], Job | None),
        msgspec.convert(whole["pods"] or (), tuple[Pod, ...]),
        msgspec.convert(whole["events"] or [], list[Event]),
    )


def _twist(whole: Any, path: tuple[str | int, ...], draw: st.DrawFn) -> None:
    holder = whole
    for step in path[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return  # an earlier twist took it away
    last = path[-1]
    if isinstance(holder, list) and isinstance(last, int):
        if last < len(holder) and isinstance(holder[last], dict):
            del holder[last]
    elif isinstance(holder, dict) and last in holder:
        value = holder[last]
        if isinstance(value, str):
            holder[last] = draw(words)
        elif isinstance(value, bool):
            holder[last] = not value
        elif isinstance(value, int):
            holder[last] = draw(st.integers(-(2**31), 2**31))
        elif len(path) > 1:
            del holder[last]


def check(reason: Reason) -> None:
    assert isinstance(reason.code, ReasonCode)
    assert reason.sentence.endswith(".")
    assert reason.sentence[0] in string.ascii_uppercase


@given(twisted())
@settings(max_examples=300, deadline=None)
def test_no_words_of_a_pod_raise_or_make_an_end_of_one_that_may_still_run(case):
    _, pods, events = case
    for pod in pods:
        seen = observe(pod, events, NOW)
        over = pod.status.phase in ("Succeeded", "Failed")
        assert (seen.phase is Phase.ENDED) == over
        if seen.phase is not Phase.RUNNING and pod.status.phase != "Succeeded":
            check(seen.reason)
        assert seen.reason is not None or not seen.final
        assert observe(pod, events, NOW) == seen


@given(twisted())
@settings(max_examples=200, deadline=None)
def test_no_words_of_a_deleted_pod_raise_or_leave_it_unexplained(case):
    _, pods, events = case
    for pod in pods:
        seen = gone(pod, events)
        assert seen.phase is Phase.GONE
        if pod.status.phase != "Succeeded":
            check(seen.reason)


@given(twisted())
@settings(max_examples=200, deadline=None)
def test_no_words_of_a_job_raise(case):
    job, pods, events = case
    seen = observe_job(job or Job(), pods, events, NOW)
    if seen is not None:
        check(seen.reason)
        assert seen.runner is None
        assert seen.phase in (Phase.WAITING, Phase.ENDED)


@given(words=words)
@settings(max_examples=200, deadline=None)
def test_no_denial_raises(words):
    check(explain_denial(words).reason)


@given(st.text(max_size=60) | st.from_regex(r"[0-9.]{1,6}[eEmkKMGi+-]{0,3}[0-9]{0,4}", fullmatch=True))
def test_any_quantity_is_a_number_or_none_and_has_words(text):
    number = read_quantity(text)
    assert number is None or number >= 0
    if number is not None:
        assert amount("memory", number)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_nodes_in_a_message_are_never_counted_twice(small, full, tainted, other):
    nodes = small + full + tainted + other
    items = [
        (tainted, "node(s) had untolerated taint(s)"),
        (other, "node(s) didn't match pod anti-affinity rules"),
    ]
    items.append((small + full, "Insufficient cpu"))
    reasons = ", ".join(f"{count} {why}" for count, why in items if count)
    useless = (
        f"{small + tainted} Preemption is not helpful for scheduling, {full + other} No preemption victims"
    )
    available = f"0/{nodes} nodes are available:"
    read = read_placement(f"{available} {reasons}. preemption: {available} {useless}.")
    assert (read.too_small, read.full) == (small, full)
    assert read.hopeless == (small + tainted > 0 and not full and not other)


def test_an_observation_of_a_later_kubernetes_is_shown_in_its_own_words():
    pod = msgspec.json.decode(
        b'{"metadata":{"name":"offload-k7m2q9x-0-0-abcde"},"status":{"phase":"Paused"}}', type=Pod
    )
    seen = observe(pod, (), NOW)
    assert seen == Observation(
        pool="k7m2q9x-0",
        runner="k7m2q9x-0-0-abcde",
        phase=Phase.UNKNOWN,
        reason=Reason(
            code=ReasonCode.UNKNOWN, sentence="The cluster can't tell how the runner is.", words="Paused"
        ),
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("8Gi", 8 * 2**30),
        ("1e3", 1000),
        ("2E", 2e18),
        ("0", 0),
        ("1.5k", 1500),
        ("", None),
        ("x", None),
    ],
)
def test_quantities_are_read_as_kubernetes_means_them(text, number):
    assert read_quantity(text) == number
