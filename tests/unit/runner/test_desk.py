from __future__ import annotations

from offload.model.reasons import ReasonCode
from offload.runner.desk import Desk
from offload.runner.patience import Patience
from offload.wire.runner_protocol import Lease, LeaseResponse


def test_a_lease_that_arrives_while_the_runner_ends_is_given_back():
    """It was under way when SIGTERM came; nobody would ever start it, and the runner would wait for it."""
    desk = Desk("runner", Patience("unix:/nowhere", "token"), poll=1.0)
    desk.evict()
    assert desk.next_lease() is None
    desk.decline()
    desk._apply(LeaseResponse(leases=(Lease(token="late", task=1, attempt=1, expires=0.0),)))
    [completion] = desk._request().completions
    assert (completion.token, completion.outcome.reason.code) == ("late", ReasonCode.EVICTED)
    assert not desk._finished()
    desk._apply(LeaseResponse(settled=("late",)))
    assert desk._finished()
