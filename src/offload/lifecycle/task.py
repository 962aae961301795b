"""What may happen to a task, decided without I/O.

``decide`` takes what is known of a task, what the job wants and what happened, and returns what becomes of
the task and of its attempt. It returns None when the event is void: the task has ended, or the event speaks
for a lease that the task no longer has. That is the whole defence against late, doubled and reordered news.

::

    pending ──Granted──▶ running ──Completed──▶ succeeded | failed | cancelled
       ▲                    │
       └── retry, or Lost ──┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, assert_never

from offload.model.outcome import Outcome
from offload.model.reasons import NOT_CHARGED, OWN_DOING, Reason, ReasonCode
from offload.model.states import AttemptState, State, Target

MAX_LOST: Final = 20
"""Attempts of one task that may be lost before it counts as the task's own doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What is known of a task.

    Attributes:
        state: where it stands.
        attempts: attempts begun so far.
        charged: attempts that failed and count against ``retries``.
        lost: attempts lost through no fault of the task.
        token: of the lease it is running under; None unless it runs.
    """

    state: State = State.PENDING
    attempts: int = 0
    charged: int = 0
    lost: int = 0
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the job wants of its tasks."""

    target: Target = Target.DONE
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Granted:
    """A runner was given the lease ``token`` on the task's next attempt."""

    token: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The runner that held ``token`` reports how the attempt ended."""

    token: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease ``token`` is lost."""

    token: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The job's target moved to ``cancelled``, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing will ever run this task: the cluster rejects the request for good, or no runner survives."""

    reason: Reason


TaskEvent = Granted | Completed | Lost | CancelRequested | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a task.

    Attributes:
        task: the new facts.
        attempt: how the attempt of the event's token ended; None when none did.
        reason: why the task or its attempt is no success.
    """

    task: TaskFacts
    attempt: AttemptState | None = None
    reason: Reason | None = None


def decide(task: TaskFacts, wish: Wish, event: TaskEvent) -> Decision | None:
    """What ``event`` makes of ``task``; None when it is void."""
    if task.state.is_terminal:
        return None
    match event:
        case Granted(token):
            return _grant(task, wish, token)
        case Completed(token, outcome):
            return _complete(task, wish, outcome) if task.token == token else None
        case Lost(token, reason):
            return _end_lost(task, wish, reason) if task.token == token else None
        case CancelRequested(reason):
            return _end_pending(task, State.CANCELLED, reason)
        case Refused(reason):
            return _end_pending(task, State.FAILED, reason)
    assert_never(event)


CANCELLED_BEFORE_START: Final = Reason(
    code=ReasonCode.CANCELLED, sentence="The job was cancelled before this task began."
)
CANCELLED_AND_LOST: Final = Reason(
    code=ReasonCode.CANCELLED, sentence="The job was cancelled; its runner ended without a report."
)


def _grant(task: TaskFacts, wish: Wish, token: str) -> Decision | None:
    if task.state is not State.PENDING or wish.target is not Target.DONE:
        return None
    return Decision(task=replace(task, state=State.RUNNING, attempts=task.attempts + 1, token=token))


def _end_pending(task: TaskFacts, state: State, reason: Reason) -> Decision | None:
    if task.state is not State.PENDING:
        return None
    return Decision(task=replace(task, state=state), reason=reason)


def _complete(task: TaskFacts, wish: Wish, outcome: Outcome) -> Decision:
    reason = why_no_success(outcome)
    if reason is None:
        return Decision(task=_ended(task, State.SUCCEEDED), attempt=AttemptState.SUCCEEDED)
    if reason.code is ReasonCode.CANCELLED or wish.target is Target.CANCELLED:
        return Decision(task=_ended(task, State.CANCELLED), attempt=AttemptState.CANCELLED, reason=reason)
    if reason.code in NOT_CHARGED:
        return _lose(task, wish, reason)
    return _fail(task, wish, reason)


def _fail(task: TaskFacts, wish: Wish, reason: Reason) -> Decision:
    charged = replace(task, charged=task.charged + 1)
    again = charged.charged <= wish.retries
    return Decision(
        task=_ended(charged, State.PENDING if again else State.FAILED),
        attempt=AttemptState.FAILED,
        reason=reason,
    )


def _end_lost(task: TaskFacts, wish: Wish, reason: Reason) -> Decision:
    if reason.code in OWN_DOING and wish.target is not Target.CANCELLED:
        return _fail(task, wish, reason)
    return _lose(task, wish, reason)


def _lose(task: TaskFacts, wish: Wish, reason: Reason) -> Decision:
    lost = replace(task, lost=task.lost + 1)
    if wish.target is Target.CANCELLED:
        return Decision(
            task=_ended(lost, State.CANCELLED), attempt=AttemptState.LOST, reason=CANCELLED_AND_LOST
        )
    if lost.lost >= MAX_LOST:
        final = Reason(
            code=reason.code,
            sentence=f"Its runner was lost {lost.lost} times; most likely the task itself takes it down.",
            words=reason.words or reason.sentence,
        )
        return Decision(task=_ended(lost, State.FAILED), attempt=AttemptState.LOST, reason=final)
    return Decision(task=_ended(lost, State.PENDING), attempt=AttemptState.LOST, reason=reason)


def _ended(task: TaskFacts, state: State) -> TaskFacts:
    return replace(task, state=state, token=None)


def why_no_success(outcome: Outcome) -> Reason | None:
    """The reason of an outcome, made up where the runner gave none; None only for a clean exit 0."""
    if outcome.reason is not None:
        return outcome.reason
    if outcome.exit_status == 0:
        return None
    if outcome.exit_status is None:
        return Reason(code=ReasonCode.UNKNOWN, sentence="The runner did not say how the task ended.")
    return Reason(code=ReasonCode.EXIT, sentence=f"The script ended with exit status {outcome.exit_status}.")
