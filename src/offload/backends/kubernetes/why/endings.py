"""How a runner's pod came to its end, from the strongest evidence to the weakest.

What somebody did to the pod stands above what its containers say, since the containers only suffered it. Of
the containers, the runner's stands above the script's: when the runner restarts, the script is ended by it.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from typing import Final

from offload.backends.kubernetes.objects import ContainerStatus, Event, Pod, Terminated
from offload.backends.kubernetes.why.containers import explain_start
from offload.backends.kubernetes.why.evidence import (
    RUNNER,
    TASK,
    Verdict,
    holds,
    latest,
    status_of,
    verdict,
)
from offload.backends.kubernetes.why.quantities import read_quantity
from offload.model.reasons import ReasonCode
from offload.model.resources import format_memory

_KILLED: Final = 128 + signal.SIGKILL
_DISRUPTIONS: Final = {
    "PreemptionByScheduler": (ReasonCode.PREEMPTED, "Work of higher priority needed its place."),
    "EvictionByEvictionAPI": (
        ReasonCode.EVICTED,
        "The cluster asked it to leave its node, often because the node is emptied for maintenance.",
    ),
    "DeletionByTaintManager": (
        ReasonCode.NODE_LOST,
        "Its node stopped answering or was taken out of service, so the cluster gave it up.",
    ),
    "DeletionByPodGC": (ReasonCode.NODE_LOST, "Its node is gone from the cluster."),
    "DeletionByDeviceTaintManager": (ReasonCode.NODE_LOST, "A device of its node failed."),
}
_STATUSES: Final = {
    "NodeLost": (ReasonCode.NODE_LOST, "Its node doesn't answer any more."),
    "NodeShutdown": (ReasonCode.NODE_LOST, "Its node is being shut down."),
    "Terminated": (ReasonCode.NODE_LOST, "Its node was shut down."),
    "Shutdown": (ReasonCode.NODE_LOST, "Its node was shut down."),
    "Preempting": (ReasonCode.PREEMPTED, "A part of the cluster itself needed its place."),
    "DeadlineExceeded": (
        ReasonCode.TIMEOUT,
        "It ran for as long as the cluster lets one run, and was ended.",
    ),
    "NodeAffinity": (ReasonCode.RUNNER_LOST, "Its node's labels changed just before it began."),
    "UnexpectedAdmissionError": (ReasonCode.RUNNER_LOST, "Its node couldn't give it what was promised."),
}
_EVENTS: Final = {
    "Preempted": _DISRUPTIONS["PreemptionByScheduler"],
    "Preempting": _STATUSES["Preempting"],
    "TaintManagerEviction": _DISRUPTIONS["DeletionByTaintManager"],
    "NodeNotReady": _STATUSES["NodeLost"],
    "ScaleDown": (ReasonCode.EVICTED, "The cluster removed its node, to have fewer."),
}
_OUSTED: Final = ("Evicted", "Preempted", "Preempting", "TaintManagerEviction", "ScaleDown")
_LOW: Final = re.compile(r"low on resource: ([\w.-]{1,60})")
_OWN_DISK: Final = (
    "exceeded its local ephemeral storage limit",
    "ephemeral local storage usage exceeds",
    "Usage of EmptyDir",
)
_LIMIT: Final = re.compile(r'(?:limit|containers) "?([0-9]{1,20}(?:\.[0-9]{1,9})?[A-Za-z]{0,2})')
_RESOURCES: Final = {"memory": "memory", "ephemeral-storage": "disk space", "inodes": "room for files"}


def explain_end(pod: Pod, events: Sequence[Event]) -> Verdict | None:
    """Why the pod ended; None when it ended in order."""
    over = pod.status.phase == "Succeeded"
    # A pod is called so, too, whose containers end with 0 when somebody makes them end.
    found = _explain_force(pod) or (None if over else _explain_death(pod)) or _explain_events(events, _OUSTED)
    if found is not None or over:
        return found or _explain_deletion(pod, events)
    return (
        _explain_deletion(pod, events) or _explain_status(pod) or _explain_events(events) or _unexplained(pod)
    )


def explain_absence(pod: Pod, events: Sequence[Event]) -> Verdict | None:
    """Why a pod that was deleted isn't there any more; None when it had ended in order before."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return explain_end(pod, events)
    return _explain_force(pod) or _explain_death(pod) or _explain_events(events) or _deleted()


def explain_lost_node(pod: Pod, events: Sequence[Event]) -> Verdict | None:
    """That the node of a pod doesn't answer, so that nobody knows how the pod is; None when it does."""
    if pod.status.reason == "NodeLost":
        return _plain(_STATUSES["NodeLost"], pod.status.message)
    ready = next((one for one in pod.status.conditions if one.type == "Ready"), None)
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    # The node's own agent never says so while it sees every container ready: the control plane did, for it.
    if ready is None or ready.status != "False" or not all(one.ready for one in statuses) or not statuses:
        return None
    news = latest(events, "NodeNotReady")
    return _plain(_EVENTS["NodeNotReady"], news.message if news else "")


def _explain_force(pod: Pod) -> Verdict | None:
    """What somebody did to the pod."""
    status = pod.status
    if status.reason == "Evicted":
        return _evicted(status.message)
    disruption = holds(status.conditions, "DisruptionTarget")
    if disruption is not None and disruption.reason in _DISRUPTIONS:
        return _plain(_DISRUPTIONS[disruption.reason], disruption.message)
    if status.reason in _STATUSES:
        return _plain(_STATUSES[status.reason], status.message)
    if status.reason.startswith("OutOf"):
        sentence = "Its node was full by the time it came there; another runner takes its place."
        return verdict(ReasonCode.RUNNER_LOST, sentence, status.message or status.reason)
    if disruption is not None:
        sentence = "The cluster ended it for reasons of its own."
        return verdict(ReasonCode.EVICTED, sentence, disruption.message or disruption.reason)
    return None


def _evicted(message: str) -> Verdict:
    if any(part in message for part in _OWN_DISK):
        match = _LIMIT.search(message)
        size = read_quantity(match[1]) if match else None
        limit = f" of {format_memory(size)}" if size else ""
        sentence = f"It wrote more than its limit of disk space{limit.replace(' of ', ', ')}, and was ended."
        return verdict(ReasonCode.OUT_OF_DISK, f"{sentence} Write less, or mount a volume.", message)
    low = _LOW.search(message)
    what = _RESOURCES.get(low[1], low[1]) if low else ""
    why = f"Its node ran low on {what}" if what else "Its node was in trouble"
    return verdict(ReasonCode.EVICTED, f"{why} and ended it to help itself.", message)


def _explain_death(pod: Pod) -> Verdict | None:
    """What the containers died of, if they didn't just end."""
    runner = status_of(pod, RUNNER)
    return (_runner_died(runner) if runner else None) or _explain_oom(pod)


def _explain_deletion(pod: Pod, events: Sequence[Event]) -> Verdict | None:
    """That somebody made the script's container end; None when it ended by itself.

    A pod that has ended is deleted without grace, so grace shows that it was alive. The pod does not tell for
    long: the node's agent deletes it once more, without grace, when all is over; then the event remains.
    """
    told = any(one.reason == "Killing" and f"container {TASK}" in one.message for one in events)
    return _deleted() if told or pod.metadata.deletion_grace_period_seconds else None


def _deleted() -> Verdict:
    sentence = "Its pod was deleted from the cluster, by a person or by a program."
    return verdict(ReasonCode.RUNNER_LOST, sentence)


def _explain_status(pod: Pod) -> Verdict | None:
    """With which exit status a container ended."""
    runner, task = status_of(pod, RUNNER), status_of(pod, TASK)
    return (_ended(pod, task) if task else None) or (
        _runner_ended(runner.state.terminated) if runner and runner.state.terminated else None
    )


def _runner_died(runner: ContainerStatus) -> Verdict | None:
    """The runner ended while its pod went on: Kubernetes starts it anew, but it doesn't work again."""
    ended = runner.last_state.terminated if runner.restart_count else None
    now = runner.state.terminated
    if ended is None and now is not None and now.reason == "OOMKilled" and now.exit_code == _KILLED:
        ended = now
    if ended is None:
        return None
    if ended.reason == "OOMKilled":
        sentence = (
            "The runner beside the script needed more memory than it has; the script was ended with it."
        )
    else:
        sentence = f"The runner beside the script ended{_how(ended)}; the script was ended with it."
    return verdict(ReasonCode.RUNNER_LOST, sentence, _words(ended))


def _explain_oom(pod: Pod) -> Verdict | None:
    task = status_of(pod, TASK)
    ended = task.state.terminated if task else None
    # With control groups of version 1 a container is called so too when only a process in it was killed. The
    # runner has reported that, and the container itself ended later, as it was told.
    if ended is None or ended.reason != "OOMKilled" or ended.exit_code != _KILLED:
        return None
    limits = next((one.resources.limits for one in pod.spec.containers if one.name == TASK), {})
    size = read_quantity(limits.get("memory", ""))
    limit = f" of {format_memory(size)}" if size else ""
    sentence = f"The script needed more than its memory limit{limit}. Give it more with `--memory`."
    return verdict(ReasonCode.OUT_OF_MEMORY, sentence, _words(ended))


def _ended(pod: Pod, task: ContainerStatus) -> Verdict | None:
    ended = task.state.terminated
    if ended is None:
        return None
    if found := explain_start(pod, TASK, ended):
        return found
    if ended.exit_code == 0:
        return None
    return verdict(ReasonCode.RUNNER_LOST, f"The container of the script ended{_how(ended)}.", _words(ended))


def _runner_ended(ended: Terminated) -> Verdict:
    return verdict(ReasonCode.RUNNER_LOST, f"The runner beside the script ended{_how(ended)}.", _words(ended))


def _explain_events(
    events: Sequence[Event], reasons: Iterable[str] = ("Evicted", *_EVENTS)
) -> Verdict | None:
    told = latest(events, *reasons)
    if told is None:
        return None
    return _evicted(told.message) if told.reason == "Evicted" else _plain(_EVENTS[told.reason], told.message)


def _unexplained(pod: Pod) -> Verdict:
    words = "; ".join(part for part in (pod.status.reason, pod.status.message) if part)
    return verdict(ReasonCode.RUNNER_LOST, "Its pod ended without saying why.", words)


def _how(ended: Terminated) -> str:
    number = ended.signal or ended.exit_code - 128
    names = {one.value: one.name for one in signal.Signals}
    by = f" ({names[number]})" if number in names else ""
    return f" with exit status {ended.exit_code}{by}"


def _words(ended: Terminated) -> str:
    plain = ("Error", "Completed")  # the exit status says as much
    return ": ".join(part for part in (ended.reason, ended.message) if part and part not in plain)


def _plain(known: tuple[ReasonCode, str], words: str) -> Verdict:
    code, sentence = known
    return verdict(code, sentence, words)
