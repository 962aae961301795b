"""Why a pod has no node yet, and whether it will ever get one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from offload.backends.kubernetes.objects import Condition, Event, Pod
from offload.backends.kubernetes.why import patience
from offload.backends.kubernetes.why.evidence import (
    RUNNER,
    Verdict,
    condition_of,
    joined,
    latest,
    plural,
    seconds,
    time_of,
    verdict,
)
from offload.backends.kubernetes.why.placement import Placement, read_placement, taint_in
from offload.backends.kubernetes.why.quantities import amount, demand, noun
from offload.backends.kubernetes.why.volumes import explain_claim
from offload.model.reasons import ReasonCode

_PROMISES: Final = ("TriggeredScaleUp", "Nominated")
"""Events with which the cluster autoscaler and Karpenter say that a node will come."""
_REFUSALS: Final = ("NotTriggerScaleUp",)
_FOR_NOW: Final = ("max ", "limit", "backoff", "in progress", "not ready")
"""Parts of an autoscaler's refusal that may be over soon: its groups are at their largest."""
_GROUP: Final = re.compile(r"\[?\{(\S{1,200}) (\d{1,7})->(\d{1,7}) \(max: (\d{1,7})\)\}")
_LESS: Final = "Ask for less, or choose another profile or cluster."
_ELSEWHERE: Final = "Choose another profile or cluster."


def explain_unplaced(pod: Pod, events: Sequence[Event], now: datetime) -> Verdict:
    """Why the pod has no node yet."""
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.reason == "SchedulingGated":
        return _gated(pod, scheduled.message)
    message = _message(scheduled, events)
    promise, refusal = latest(events, *_PROMISES), _refusal(events)
    if promise is not None and (refusal is None or time_of(promise) > time_of(refusal)):
        return _promised(pod, promise, message)
    words = "; ".join(part for part in (message, refusal.message if refusal else "") if part)
    since = scheduled.last_transition_time if scheduled else None
    waited = seconds(since or pod.metadata.creation_timestamp, now)
    placement = read_placement(message)
    if placement is None:
        return _unread(pod, message, words)
    if placement.general:
        return explain_claim(placement.general, words, waited) or _general(placement, words)
    return _unplaced(pod, placement, words, refusal=refusal, final=_is_final(placement, refusal, waited))


def _message(scheduled: Condition | None, events: Sequence[Event]) -> str:
    if scheduled is not None and scheduled.message:
        return scheduled.message
    failed = latest(events, "FailedScheduling")
    return failed.message if failed is not None else ""


def _refusal(events: Sequence[Event]) -> Event | None:
    refused = latest(events, *_REFUSALS)
    if refused is not None:
        return refused
    # Karpenter says it with the scheduler's own word.
    karpenter = [one for one in events if "karpenter" in (one.reporting_component or one.source.component)]
    return latest(karpenter, "FailedScheduling")


def _is_final(placement: Placement, refusal: Event | None, waited: float) -> bool:
    if not placement.hopeless:
        return False
    if refusal is not None:
        return not any(part in refusal.message for part in _FOR_NOW)
    # Without an autoscaler, labels and taints still change by hand; the size of nodes doesn't.
    limit = patience.TAINT if placement.vague else patience.AUTOSCALER
    return bool(placement.lacking) and waited >= limit


def _gated(pod: Pod, words: str) -> Verdict:
    gates = [gate.name for gate in pod.spec.scheduling_gates]
    if any("kueue" in gate for gate in gates):
        return verdict(
            ReasonCode.WAITING_FOR_QUOTA, "Waits in the cluster's queue until its turn comes.", words
        )
    who = f" ({', '.join(gates)})" if gates else ""
    return verdict(
        ReasonCode.WAITING_FOR_CAPACITY, f"A program of the cluster{who} holds it back for now.", words
    )


def _promised(pod: Pod, promise: Event, message: str) -> Verdict:
    group = _GROUP.search(promise.message)
    if group:
        grows = f"{group[1]} grows from {group[2]} to {plural(int(group[3]), 'node')}, of at most {group[4]}"
    else:
        grows = "it comes in a few minutes"
    sentence = f"Waits for a new node{_with(_wish(pod, message))}: the cluster starts one; {grows}."
    return verdict(ReasonCode.WAITING_FOR_NODE, sentence, promise.message)


def _unread(pod: Pod, message: str, words: str) -> Verdict:
    if "no nodes available" in message:
        return verdict(
            ReasonCode.WAITING_FOR_NODE, "Waits for a node: the cluster has none at all now.", words
        )
    if not message:
        return verdict(ReasonCode.WAITING_FOR_NODE, "The cluster looks for a node for it.", words)
    sentence = f"Waits for a node{_with(_wish(pod, ''))}; the cluster's own words say why."
    return verdict(ReasonCode.WAITING_FOR_NODE, sentence, words)


def _general(placement: Placement, words: str) -> Verdict:
    sentence = (
        f"Waits for a node: none of {placement.nodes} can take it now; the cluster's own words say why."
    )
    return verdict(ReasonCode.WAITING_FOR_NODE, sentence, words)


def _unplaced(pod: Pod, placement: Placement, words: str, *, refusal: Event | None, final: bool) -> Verdict:
    nodes = f"of {plural(placement.nodes, 'node')}, {joined(_nodes(pod, placement))}"
    asked = _asked(pod, placement.lacking)
    none = "nor can its autoscaler add one" if refusal is not None else "and nothing adds one"
    if final and placement.lacking:
        sentence = f"It needs {asked} on one node. The cluster has no such node, {none}: {nodes}. {_LESS}"
        return verdict(ReasonCode.UNSCHEDULABLE, sentence, words, final=True)
    if final:
        sentence = f"No node of the cluster may take it, {none}: {nodes}. {_ELSEWHERE}"
        return verdict(ReasonCode.UNSCHEDULABLE, sentence, words, final=True)
    wish = _with(asked) if placement.lacking else " that may take it"
    if placement.hopeless:
        later = " Its autoscaler can't add one now." if refusal is not None else ""
        sentence = f"Waits for a node{wish}, and the cluster has none: {nodes}.{later}"
        return verdict(ReasonCode.UNSCHEDULABLE, sentence, words)
    code = ReasonCode.WAITING_FOR_CAPACITY if placement.full else ReasonCode.WAITING_FOR_NODE
    return verdict(code, f"Waits for a node{wish}: {nodes}.", words)


def _nodes(pod: Pod, placement: Placement) -> list[str]:
    """What keeps each node from taking it: ``3 have fewer GPUs or none``, ``1 is full``."""
    short = placement.nodes - sum(count for count, _ in placement.others)
    told: list[str] = []
    if placement.too_small:
        told.append(_too_small(placement.too_small, {noun(name) for name in placement.lacking}))
    if placement.full:
        told.append(f"{placement.full} {_be(placement.full)} full")
    if placement.lacking and placement.too_small is None:
        told.append(f"{short} {'lacks' if short == 1 else 'lack'} it")
    return told + [_other(pod, count, why) for count, why in placement.others]


def _too_small(count: int, lacking: set[str]) -> str:
    return f"{_have(count)} fewer GPUs or none" if lacking == {"GPUs"} else f"{count} {_be(count)} too small"


def _other(pod: Pod, count: int, why: str) -> str:
    if "affinity/selector" in why:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(pod.spec.node_selector.items()))
        return f"{_have(count)} other labels than it asks for{f' ({wanted})' if wanted else ''}"
    if "untolerated taint" in why or "didn't tolerate" in why:
        taint = taint_in(why)
        which = f"taint {taint}" if taint else "a taint"
        return f"{count} {_be(count)} kept for others or not ready ({which})"
    if "were unschedulable" in why:
        return f"{count} {_be(count)} closed to new work by an administrator"
    if "volume" in why:
        return f"{count} can't reach its volume"
    return f"{_have(count)} another obstacle ({why.removeprefix('node(s) ')})"


def _wish(pod: Pod, message: str) -> str:
    placement = read_placement(message)
    return _asked(pod, placement.lacking if placement else ())


def _asked(pod: Pod, lacking: Sequence[str]) -> str:
    """What is scarce of what the pod asks for: all of its size when that isn't known."""
    wanted, without = demand(pod.spec), demand(pod.spec, but=RUNNER)
    names = [name for name in lacking if name in wanted or name == "pods"]
    shown = names or [name for name in ("cpu", "memory") if name in wanted]
    gpus = [] if names else [name for name in wanted if name.endswith("/gpu")]
    both = any(wanted.get(name) != without.get(name) for name in names)
    asked = joined([amount(name, wanted.get(name, 1.0)) for name in (*gpus, *shown)])
    return f"{asked} (its runner included)" if both else asked


def _with(asked: str) -> str:
    return f" with {asked}" if asked else ""


def _have(count: int) -> str:
    return f"{count} {'has' if count == 1 else 'have'}"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
