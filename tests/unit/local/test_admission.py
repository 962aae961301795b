from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offload.backends.local.admission import Request, Room, admit, demand_of, refusal
from offload.model.ids import PoolId
from offload.model.reasons import ReasonCode
from offload.model.resources import Resources

GIB = 1 << 30
MACHINE = Resources(cpus=8, memory=16 * GIB, gpus=2)


def request(name, cpus=1.0, *, memory=None, gpus=0, missing=1, live=0, since=0.0, submitted=0.0):
    return Request(
        pool=PoolId(name),
        resources=Resources(cpus=cpus, memory=memory, gpus=gpus),
        missing=missing,
        live=live,
        since=since,
        submitted=submitted,
    )


def admitted(requests, running=(), now=0.0, patience=600.0):
    return admit(MACHINE, list(running), requests, now=now, patience=patience)


def test_runners_start_in_the_order_of_submission():
    got = admitted([request("late", 3, submitted=2), request("early", 3, submitted=1, missing=2)])
    assert got.start == ("early", "early")
    assert got.waiting["late"].code is ReasonCode.WAITING_FOR_CAPACITY


def test_the_sentence_says_what_is_missing_and_who_is_in_front():
    got = admitted([request("me", 4)], running=[Resources(cpus=5)] * 1 + [Resources(cpus=2)])
    assert got.waiting["me"].sentence == (
        "Waits for 4 CPUs on this machine: 1 CPU and 2 GiB are free, 2 other runners are at work."
    )


def test_a_smaller_task_passes_a_large_one_that_does_not_fit():
    got = admitted([request("large", 8, submitted=1), request("small", 1, submitted=2)], [Resources(cpus=2)])
    assert got.start == ("small",)
    assert got.recheck == 600.0


def test_after_a_while_the_machine_drains_for_the_large_one():
    line = [request("large", 8, submitted=1), request("small", 1, submitted=2)]
    got = admitted(line, [Resources(cpus=2)], now=600.0)
    assert got.start == ()
    assert "nothing passes it" in got.waiting["small"].sentence
    assert admitted(line, now=600.0).start == ("large",)


def test_no_patience_keeps_strictly_to_the_line():
    line = [request("large", 8, submitted=1), request("small", 1, submitted=2)]
    assert admitted(line, [Resources(cpus=2)], patience=0.0).start == ()


def test_open_memory_counts_as_the_share_of_the_cpus():
    assert demand_of(Resources(cpus=2), MACHINE).memory == 4 * GIB
    line = [request("big", 1, memory=15 * GIB, submitted=1), request("open", 2, submitted=2)]
    assert admitted(line).start == ("big",)


def test_a_pool_with_runners_at_work_is_not_called_waiting():
    assert admitted([request("me", 8, live=1)], [Resources(cpus=8)]).waiting == {}


def test_what_can_never_fit_is_refused_with_what_there_is():
    assert refusal(Resources(cpus=8), MACHINE) is None
    reason = refusal(Resources(cpus=16, memory=4 * GIB), MACHINE)
    assert reason is not None
    assert reason.code is ReasonCode.REFUSED
    assert reason.sentence == (
        "The task needs 16 CPUs and 4 GiB of memory, and this machine has 8 CPUs, 16 GiB of memory "
        "and 2 GPUs for all tasks together."
    )


def test_tenths_of_cpus_add_up():
    assert (
        len(
            admit(Resources(cpus=1, memory=GIB), [], [request("t", 0.1, missing=10)], now=0, patience=0).start
        )
        == 10
    )


resources = st.builds(
    Resources,
    cpus=st.integers(1, 80).map(lambda tenths: tenths / 10),
    memory=st.none() | st.integers(1, 16 * GIB),
    gpus=st.integers(0, 2),
)
requests = st.lists(
    st.builds(
        Request,
        pool=st.uuids().map(str),
        resources=resources,
        missing=st.integers(1, 20),
        live=st.integers(0, 3),
        since=st.floats(0, 1000),
        submitted=st.floats(0, 1000),
    ),
    max_size=12,
)


@given(requests, st.lists(resources, max_size=8), st.floats(0, 2000), st.floats(0, 600))
def test_the_machine_is_never_promised_twice(line, running, now, patience):
    before = Room.left(MACHINE, running)
    got = admit(MACHINE, running, line, now=now, patience=patience)
    sizes = {one.pool: one.resources for one in line}
    after = Room.left(MACHINE, [*running, *(sizes[pool] for pool in got.start)])
    if got.start:
        assert min(after.cpus + 1e-3, after.memory + 1000, after.gpus) >= 0
    assert after.cpus <= before.cpus


@given(requests.filter(bool), st.floats(0, 600))
def test_nobody_starves_however_many_smaller_tasks_keep_coming(line, patience):
    """The first in line starts once its patience is over and what runs has ended."""
    first = min(line, key=lambda one: (one.submitted, one.pool))
    later = first.since + patience
    rest = [one for one in line if one is not first]
    small = [request(f"small-{n}", 0.1, submitted=5000.0 + n) for n in range(5)]
    busy = [Resources(cpus=8, memory=1)]
    got = admit(MACHINE, busy, [first, *rest, *small], now=later, patience=patience)
    assert got.start == ()
    assert first.pool in admit(MACHINE, [], [first, *rest, *small], now=later, patience=patience).start


@given(requests, st.lists(resources, max_size=4), st.floats(0, 2000))
def test_an_idle_machine_always_starts_something(line, running, now):
    if line and not running:
        assert admit(MACHINE, running, line, now=now, patience=600).start
