"""Where to look in a pod, and what a conclusion drawn from it consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from offload.backends.kubernetes.objects import Condition, ContainerStatus, Event, Pod
from offload.model.reasons import Reason, ReasonCode

RUNNER: Final = "runner"
"""The container with Offload's runner: an init container that runs beside the other."""
TASK: Final = "task"
"""The container with the person's image."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_STEPS: Final = ((3600, "an hour"), (1200, "20 minutes"), (300, "5 minutes"), (60, "a minute"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A conclusion: the reason, and whether it will stay like that for good."""

    reason: Reason
    final: bool = False


def verdict(code: ReasonCode, sentence: str, words: str = "", *, final: bool = False) -> Verdict:
    """A conclusion, with the words that led to it."""
    return Verdict(Reason(code=code, sentence=sentence, words=words.strip()), final)


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    """What is known of the container ``runner`` or ``task``."""
    every = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((one for one in every if one.name == container), None)


def image_of(pod: Pod, container: str) -> str:
    """The image that a container asks for; empty when the pod doesn't tell."""
    every = (*pod.spec.init_containers, *pod.spec.containers)
    return next((one.image for one in every if one.name == container), "")


def condition_of(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type."""
    return next((one for one in conditions if one.type == kind), None)


def holds(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type if it is true."""
    found = condition_of(conditions, kind)
    return found if found is not None and found.status == "True" else None


def time_of(event: Event) -> datetime:
    """When an event was last seen."""
    series = event.series.last_observed_time if event.series else None
    told = (series, event.last_timestamp, event.event_time, event.first_timestamp)
    known = [at for at in (*told, event.metadata.creation_timestamp) if at is not None]
    return known[0] if known else _LONG_AGO


def times_seen(event: Event) -> int:
    """How often an event came."""
    return max(event.series.count if event.series else 0, event.count or 0, 1)


def latest(events: Sequence[Event], *reasons: str) -> Event | None:
    """The newest event with one of these reasons."""
    found = [event for event in events if event.reason in reasons]
    return max(found, key=lambda event: (time_of(event), times_seen(event)), default=None)


def latest_since(events: Sequence[Event], wanted: Iterable[str], undone_by: Iterable[str]) -> Event | None:
    """The newest event with a reason in ``wanted``, unless a newer one in ``undone_by`` takes it back."""
    found = latest(events, *wanted)
    undone = latest(events, *undone_by)
    if found is None or (undone is not None and time_of(undone) >= time_of(found)):
        return None
    return found


def seconds(since: datetime | None, now: datetime) -> float:
    """Seconds from then until now; 0 when it isn't known."""
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def at_least(waited: float) -> str:
    """`` for more than 5 minutes``, in steps, so that sentences rarely change; empty in the first minute."""
    return next((f" for more than {words}" for step, words in _STEPS if waited >= step), "")


def joined(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 node``, ``3 nodes``."""
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"
