"""What may happen to a task, decided without I/O.

``decide`` takes what is known of a task, what the job wants and what happened, and returns what becomes of
the task and of its attempt. It returns None when the event is void: the task has ended, or the event speaks
for a lease that the task no longer has. That is the whole defence against late, doubled and reordered news.

::

    pending ──Granted──▶ running ──Completed──▶ succeeded | failed | cancelled
       ▲                    │
       └─ retry, Lost, ─────┘
          or Returned

A task that ran out of memory is run again in the next size, as long as there is one, without using up a
retry: it failed for what was asked, and not for what it does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final, assert_never

from offload.model.growth import MOST_TIMES
from offload.model.outcome import Outcome
from offload.model.reasons import NOT_CHARGED, OWN_DOING, Reason, ReasonCode
from offload.model.resources import format_memory
from offload.model.states import AttemptState, State, Target

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a failed task is tried again, at most: the first time, and ever."""
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
        size: of the runners that it needs; 0 is as asked.
        token: of the lease it is running under; None unless it runs.
    """

    state: State = State.PENDING
    attempts: int = 0
    charged: int = 0
    lost: int = 0
    size: int = 0
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the job wants of its tasks.

    Attributes:
        target: what is wanted.
        retries: how many failed attempts of a task are repeated.
        sizes: bytes of memory of each size; empty where a task that ran out of memory isn't given more.
        memory_limit: bytes that a task may have at most; None where that isn't known.
    """

    target: Target = Target.DONE
    retries: int = 0
    sizes: tuple[int, ...] = ()
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """A runner was given the lease ``token`` on the task's next attempt."""

    token: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The runner that held ``token`` reports how the attempt ended: ``age`` seconds ago, after ``took``."""

    token: str
    outcome: Outcome
    took: float | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease ``token`` is lost."""

    token: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Returned:
    """The runner that held ``token`` gives the lease back: it has not begun the attempt and never will."""

    token: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The job's target moved to ``cancelled``, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing will ever run this task: the cluster rejects the request for good, or no runner survives."""

    reason: Reason


TaskEvent = Granted | Completed | Lost | Returned | CancelRequested | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a task.

    Attributes:
        task: the new facts.
        attempt: how the attempt of the event's token ended; None when none did.
        reason: why the task or its attempt is no success.
        pause: seconds before its next attempt may begin.
    """

    task: TaskFacts
    attempt: AttemptState | None = None
    reason: Reason | None = None
    pause: float = 0.0


def decide(task: TaskFacts, wish: Wish, event: TaskEvent) -> Decision | None:
    """What ``event`` makes of ``task``; None when it is void."""
    if task.state.is_terminal or _is_void(task, event):
        return None
    match event:
        case Granted(token):
            return _grant(task, wish, token)
        case Completed(outcome=outcome):
            return _complete(task, wish, outcome)
        case Lost(reason=reason):
            return _end_lost(task, wish, reason)
        case Returned():
            return _take_back(task)
        case CancelRequested() | Refused():
            return _end_pending(task, wish, event)
    assert_never(event)


def _is_void(task: TaskFacts, event: TaskEvent) -> bool:
    """Whether it speaks for a lease that the task doesn't have (any more)."""
    return isinstance(event, (Completed, Lost, Returned)) and event.token != task.token


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


def _take_back(task: TaskFacts) -> Decision:
    """As if the lease had never been granted: the next attempt gets the same number."""
    return Decision(task=replace(_ended(task, State.PENDING), attempts=task.attempts - 1))


def _end_pending(task: TaskFacts, wish: Wish, event: CancelRequested | Refused) -> Decision | None:
    if task.state is not State.PENDING:
        return None
    if isinstance(event, CancelRequested):
        return Decision(task=replace(task, state=State.CANCELLED), reason=event.reason)
    return Decision(task=replace(task, state=State.FAILED), reason=_refusal(task, wish, event.reason))


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
    if wish.sizes and reason.code is ReasonCode.OUT_OF_MEMORY:
        if task.size + 1 < len(wish.sizes):
            return _grow(task, wish, reason)
        reason = replace(reason, sentence=_at_the_limit(task, wish))
    charged = replace(task, charged=task.charged + 1)
    again = charged.charged <= wish.retries
    return Decision(
        task=_ended(charged, State.PENDING if again else State.FAILED),
        attempt=AttemptState.FAILED,
        reason=reason,
        pause=_pause(charged.charged, task.token or "") if again else 0.0,
    )


def _pause(failures: int, token: str) -> float:
    """Seconds before the next try: twice as many each time, and spread.

    What fails in a thousand tasks at once, such as a server that they all ask, shouldn't be asked a thousand
    times at once again. Where in the spread follows from the lease, so the same end means the same pause.
    """
    longest = min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_PAUSE)
    draw = hashlib.sha256(token.encode()).digest()[0] / 255
    return longest * (0.5 + 0.5 * draw)


def _grow(task: TaskFacts, wish: Wish, reason: Reason) -> Decision:
    had, gets = (format_memory(wish.sizes[size]) for size in (task.size, task.size + 1))
    sentence = f"It needed more than {had} of memory; it is run again with {gets}."
    return Decision(
        task=_ended(replace(task, size=task.size + 1), State.PENDING),
        attempt=AttemptState.FAILED,
        reason=replace(reason, sentence=sentence),
    )


def _at_the_limit(task: TaskFacts, wish: Wish) -> str:
    needed = f"It needed more than {format_memory(wish.sizes[task.size])} of memory"
    if wish.memory_limit is None:
        return f"{needed}, {MOST_TIMES} times what was asked. Give it more with `--memory`."
    return f"{needed}, and a task can have at most {format_memory(wish.memory_limit)} here."


def _refusal(task: TaskFacts, wish: Wish, reason: Reason) -> Reason:
    """Why a task ends that nothing will run; that of a larger size ran out of memory before."""
    if not task.size:
        return reason
    had, gets = (format_memory(wish.sizes[size]) for size in (task.size - 1, task.size))
    needed = f"It needed more than {had} of memory, and no runner with {gets} is to be had"
    return replace(reason, code=ReasonCode.OUT_OF_MEMORY, sentence=f"{needed}: {reason.sentence}")


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
