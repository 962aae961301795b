from __future__ import annotations

import os
import select
from pathlib import Path

from offload.model.outcome import Outcome
from offload.runner.desk import Desk
from offload.runner.patience import Patience
from offload.runner.verdict import Cause
from offload.wire.runner_protocol import Lease, LeaseResponse, Order, OrderKind


def desk() -> Desk:
    patience = Patience("unix:/nowhere", "token", directory=Path("/"))
    return Desk("runner", patience, poll=1.0, pause=lambda _: None)


def leases(*tokens: str) -> tuple[Lease, ...]:
    return tuple(Lease(token=token, task=1, attempt=1, expires=0.0) for token in tokens)


def test_a_lease_that_arrives_while_the_runner_ends_is_given_back():
    """It was under way when SIGTERM came; nobody would ever start it, and the runner would wait for it."""
    ending = desk()
    ending.evict()
    assert ending.next_lease() is None
    ending.decline()
    ending._apply(LeaseResponse(leases=leases("late")))
    assert ending._request().returned == ("late",)
    assert not ending._finished()
    ending._apply(LeaseResponse(settled=("late",)))
    assert ending._finished()


def test_a_lease_in_the_queue_that_is_to_be_cancelled_is_given_back():
    waiting = desk()
    waiting._apply(LeaseResponse(leases=leases("first", "second", "third")))
    begun, _ = waiting.next_lease()
    cancel = tuple(Order(kind=OrderKind.CANCEL, token=token) for token in ("first", "second"))
    waiting._apply(LeaseResponse(orders=cancel))
    request = waiting._request()
    assert (begun.token, request.returned) == ("first", ("second",))
    assert (request.holding, request.cancelling) == (("first", "third"), ("first",))


def test_a_runner_takes_leases_ahead_while_its_attempts_are_quick():
    quick = desk()
    assert (quick._request().free_slots, quick._request().ahead > 0) == (1, True)
    quick._apply(LeaseResponse(leases=leases("first", "second")))
    quick.next_lease()
    assert (quick._request().free_slots, quick._request().ahead) == (0, 0)
    quick.complete("first", Outcome(exit_status=0))
    request = quick._request()
    assert (request.free_slots, request.ahead > 0) == (0, True)
    assert [one.token for one in request.completions] == ["first"]
    quick._began -= 60.0
    assert quick._request().ahead == 0


def test_who_still_has_something_to_say_about_an_attempt_that_has_ended_says_it_to_nobody():
    """SIGTERM, or the end of the agent, may come while an attempt is completed."""
    ending = desk()
    ending._apply(LeaseResponse(leases=leases("one")))
    _, control = ending.next_lease()
    ending.complete("one", Outcome(exit_status=0))
    pipe = os.pipe()  # whatever is opened next must not get the number of what is still written to
    control.want(Cause.EVICT)
    assert select.select([pipe[0]], [], [], 0)[0] == []
    for fd in pipe:
        os.close(fd)


def test_the_age_of_a_completion_grows_until_it_is_settled():
    late = desk()
    late._apply(LeaseResponse(leases=leases("one")))
    late.next_lease()
    late._began -= 5.0
    late.complete("one", Outcome(exit_status=0))
    [first], [again] = late._request().completions, late._request().completions
    assert 5.0 <= first.took < 10.0
    assert first.took == again.took
    assert 0.0 <= first.age < again.age
