"""Something happens to tasks of one job: read the facts, let ``lifecycle`` decide, write guarded by what was
read.

The rows are locked when they are read (SQLite has one writer anyway), and every write names what was read, so
that a decision which somebody else overtook writes nothing. With the tasks change their attempts, the
counters of their job, and what is told about them, in the same transaction, and in as few statements for
fifty tasks as for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, case, delete, update

from offload.lifecycle.task import Completed, Decision, Returned, TaskEvent, TaskFacts, Wish, decide
from offload.model.growth import sizes_of
from offload.model.ids import RunnerId
from offload.model.states import AttemptState, State, Target
from offload.store import events, jobs, manifests
from offload.store.schema import attempts, tasks
from offload.store.views import to_text


def _later(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    return case((one > other, one), else_=other)


_MOVE: Final = (
    update(tasks)
    .where(
        tasks.c.job == bindparam("of_job"),
        tasks.c.task == bindparam("of_task"),
        tasks.c.state == bindparam("was_state"),
        tasks.c.token.is_not_distinct_from(bindparam("was_token")),
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "state",
                "attempts",
                "charged",
                "lost",
                "size",
                "token",
                "runner",
                "expires",
                "reason",
                "exit_status",
                "results",
                "result",
                "due",
            )
        }
    )
)
_BEGAN: Final = _later(attempts.c.started, bindparam("began"))
_END: Final = (
    update(attempts)
    .where(attempts.c.token == bindparam("of_token"))
    .values(
        state=bindparam("new_state"),
        # A clock that was set back begins nothing before it was leased, and ends nothing before it began.
        started=_BEGAN,
        ended=_later(_BEGAN, bindparam("ended_at")),
        reason=bindparam("new_reason"),
        exit_status=bindparam("new_exit_status"),
        use=bindparam("new_use"),
    )
)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the task of a row, and what becomes of it.

    Attributes:
        row: of ``tasks``, as it was read.
        event: what happened.
        decision: what it means.
    """

    row: Row[Any]
    event: TaskEvent
    decision: Decision


def wish_of(job: Row[Any]) -> Wish:
    """What a job wants of its tasks."""
    spec = jobs.spec_of(job)
    return Wish(
        target=Target(job.target),
        retries=spec.retries,
        sizes=sizes_of(spec),
        memory_limit=spec.memory_limit,
    )


def facts_of(row: Row[Any]) -> TaskFacts:
    """What the row of a task says."""
    return TaskFacts(
        state=State(row.state),
        attempts=row.attempts,
        charged=row.charged,
        lost=row.lost,
        size=row.size,
        token=row.token,
    )


def apply(
    connection: Connection,
    job: Row[Any],
    happened: Sequence[tuple[Row[Any], TaskEvent]],
    now: float,
    *,
    holder: tuple[RunnerId, float] | None = None,
) -> list[Change]:
    """Let each event happen to the task of its row; void ones are left out of what is returned.

    Args:
        connection: in whose transaction the rows were read.
        job: whose tasks they are.
        happened: at most one event for each row.
        now: seconds.
        holder: who gets the leases that are granted, and when they expire.
    """
    wish = wish_of(job)
    decided = ((row, event, decide(facts_of(row), wish, event)) for row, event in happened)
    made = [Change(row, event, decision) for row, event, decision in decided if decision]
    if not made:
        return []
    moved = connection.execute(_MOVE, [_columns(change, now, holder) for change in made])
    assert moved.rowcount == len(made), "a row that was read for update changed all the same"
    _end_attempts(connection, made, now)
    _forget_attempts(connection, made)
    for size in {task.size for change in made if (task := change.decision.task).size > change.row.size}:
        jobs.open_pool(connection, job.id, size)
    events.record_all(connection, job.id, now, [told for change in made for told in _told(change)])
    counted: Counter[State] = Counter()
    for change in made:
        counted[State(change.row.state)] -= 1
        counted[change.decision.task.state] += 1
    jobs.move_tasks(connection, job.id, counted, now)
    return made


def _columns(change: Change, now: float, holder: tuple[RunnerId, float] | None) -> dict[str, Any]:
    row, task = change.row, change.decision.task
    runner, expires = holder if holder and task.token else (None, None)
    values: dict[str, Any] = {
        "of_job": row.job,
        "of_task": row.task,
        "was_state": row.state,
        "was_token": row.token,
        "new_state": task.state,
        "new_attempts": task.attempts,
        "new_charged": task.charged,
        "new_lost": task.lost,
        "new_size": task.size,
        "new_token": task.token,
        "new_runner": runner,
        "new_expires": expires,
        "new_reason": to_text(change.decision.reason),
        "new_exit_status": row.exit_status,
        "new_results": row.results,
        "new_result": row.result,
        "new_due": now + change.decision.pause if change.decision.pause else None,
    }
    if isinstance(change.event, Completed):
        outcome = change.event.outcome
        values["new_exit_status"] = outcome.exit_status
        if task.state.is_terminal:
            values |= {"new_results": outcome.results, "new_result": to_text(outcome.result)}
    return values


def _end_attempts(connection: Connection, made: Sequence[Change], now: float) -> None:
    ended, needed = [], []
    for change in made:
        if change.decision.attempt is None:
            continue
        values: dict[str, Any] = {
            "of_token": change.row.token,
            "began": 0.0,
            "ended_at": now,
            "new_state": change.decision.attempt,
            "new_reason": to_text(change.decision.reason),
            "new_exit_status": None,
            "new_use": None,
        }
        if isinstance(change.event, Completed):
            outcome = change.event.outcome
            values |= {"new_exit_status": outcome.exit_status, "new_use": to_text(outcome.use)}
            values |= _times(change.event, now)
            if outcome.results:
                needed.append(outcome.results)
        ended.append(values)
    if ended:
        connection.execute(_END, ended)
        manifests.refer(connection, made[0].row.job, *needed)


def _times(event: Completed, now: float) -> dict[str, float]:
    """When an attempt began and ended: leased with others, it has waited for them."""
    ended = now - event.age
    return {"began": 0.0 if event.took is None else ended - event.took, "ended_at": ended}


def _forget_attempts(connection: Connection, made: Sequence[Change]) -> None:
    """Those that were given back never were."""
    tokens = [change.row.token for change in made if isinstance(change.event, Returned)]
    if tokens:
        connection.execute(delete(attempts).where(attempts.c.token.in_(tokens)))


def _told(change: Change) -> list[events.Fact]:
    decision, task = change.decision, change.decision.task
    data: dict[str, Any] = {"attempt": task.attempts}
    if task.state is State.RUNNING:
        return [("task_started", change.row.task, data)]
    data["reason"] = decision.reason
    if task.state.is_terminal:
        return [("task_ended", change.row.task, data | {"state": task.state})]
    if isinstance(change.event, Returned):
        return [("task_returned", change.row.task, {})]
    kind = "attempt_lost" if decision.attempt is AttemptState.LOST else "attempt_failed"
    return [(kind, change.row.task, data)]
