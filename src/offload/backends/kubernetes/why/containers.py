"""Why a pod that has a node doesn't work yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from offload.backends.kubernetes.objects import ContainerStatus, Event, Pod, Terminated, Waiting
from offload.backends.kubernetes.why import images, patience
from offload.backends.kubernetes.why.evidence import (
    RUNNER,
    TASK,
    Verdict,
    image_of,
    latest_since,
    seconds,
    status_of,
    verdict,
)
from offload.backends.kubernetes.why.volumes import explain_volumes, missing_object
from offload.model.reasons import ReasonCode

NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
"""How runtimes call it when a container could be made, but its command couldn't be started."""
_NOT_MADE: Final = frozenset({"CreateContainerError", *NOT_STARTED})
_AS_USUAL: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_NO_SHELL: Final = re.compile(r"/bin/sh\W.{0,60}(?:no such file|not found)", re.DOTALL | re.IGNORECASE)
_MISSING: Final = re.compile(r'(secret|configmap) "([^"]{1,300})" not found', re.IGNORECASE)
_KEY: Final = re.compile(r"couldn't find key (\S{1,300}) in (Secret|ConfigMap) (?:\S{1,100}/)?(\S{1,300})")
_ASK: Final = "Ask the cluster's administrator."
_ROOT: Final = "Use another image, or let the cluster's settings name a user (`run_as_user`)."


def explain_preparing(pod: Pod, events: Sequence[Event], now: datetime) -> Verdict:
    """Why the containers of a placed pod don't run yet."""
    for name in (RUNNER, TASK):
        status = status_of(pod, name)
        found = _explain_container(pod, status, events, now) if status else None
        if found is not None:
            return found
    node = f" {pod.spec.node_name}" if pod.spec.node_name else ""
    return (
        explain_volumes(pod, events, now)
        or _sandbox(events)
        or images.explain_pull(events, now)
        or verdict(ReasonCode.STAGING, f"The node{node} prepares the runner.", _doing(pod))
    )


def _explain_container(
    pod: Pod, status: ContainerStatus, events: Sequence[Event], now: datetime
) -> Verdict | None:
    ended = status.state.terminated
    if ended is not None:
        # Between two starts, too, a runner is shown as terminated.
        return _crashing(pod, status, ended, "") if status.name == RUNNER else explain_start(pod, TASK, ended)
    waiting = status.state.waiting
    if waiting is None or waiting.reason in _AS_USUAL:
        return None
    return _explain_waiting(pod, status, waiting, events, now)


def _explain_waiting(
    pod: Pod, status: ContainerStatus, waiting: Waiting, events: Sequence[Event], now: datetime
) -> Verdict:
    if waiting.reason in images.STATES:
        return images.explain_image(pod, status.name, waiting, events)
    if waiting.reason == "CreateContainerConfigError":
        return _configuration(pod, waiting, now)
    if waiting.reason in _NOT_MADE:
        return _not_made(pod, status.name, waiting.reason, waiting.message)
    if waiting.reason == "CrashLoopBackOff":
        return _crashing(pod, status, status.last_state.terminated, waiting.message)
    return verdict(
        ReasonCode.STAGING, f"The {_which(status.name)} isn't ready: {waiting.reason}.", waiting.message
    )


def explain_start(pod: Pod, container: str, ended: Terminated) -> Verdict | None:
    """Why a container that was made didn't start; None when it did."""
    if ended.reason not in NOT_STARTED:
        return None
    return _not_made(pod, container, ended.reason, ended.message)


def _not_made(pod: Pod, container: str, reason: str, message: str) -> Verdict:
    words = message or reason
    image = image_of(pod, container)
    if container == TASK and _NO_SHELL.search(words):
        sentence = f"The image {image} holds no shell (/bin/sh), which every script needs. Use another image."
        return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words, final=True)
    if "exec format error" in words:
        sentence = f"The image {image} isn't made for the processors of this cluster. Use another image."
        return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words, final=True)
    never = reason in NOT_STARTED and container == TASK
    sentence = f"The {_which(container)} can't be started from the image {image}."
    return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words, final=never)


def _configuration(pod: Pod, waiting: Waiting, now: datetime) -> Verdict:
    words = waiting.message or waiting.reason
    waited = seconds(pod.status.start_time or pod.metadata.creation_timestamp, now)
    final = waited >= patience.OBJECT
    if match := _MISSING.search(words):
        sentence = f"{missing_object(match[1].capitalize(), match[2])} {_ASK}"
        return verdict(ReasonCode.REFUSED, sentence, words, final=final)
    if match := _KEY.search(words):
        sentence = (
            f"The {match[2]} {match[3]} has no key {match[1]}, which the cluster's settings name. {_ASK}"
        )
        return verdict(ReasonCode.REFUSED, sentence, words, final=final)
    if "runAsNonRoot" in words:
        user = "as root" if "as root" in words else "as a user whose number it doesn't tell"
        sentence = f"The image wants to run {user}, which this cluster doesn't allow. {_ROOT}"
        return verdict(ReasonCode.REFUSED, sentence, words, final=True)
    return verdict(
        ReasonCode.STAGING, "The node can't make the containers with what they are told to hold.", words
    )


def _crashing(pod: Pod, status: ContainerStatus, ended: Terminated | None, message: str) -> Verdict:
    if ended is not None and (found := explain_start(pod, status.name, ended)):
        words = found.reason.words
        final = status.restart_count >= patience.CRASHES
        return verdict(found.reason.code, found.reason.sentence, words, final=final)
    how = f" with exit status {ended.exit_code}" if ended is not None else ""
    memory = ", because it needed more memory than it has" if ended and ended.reason == "OOMKilled" else ""
    words = "; ".join(part for part in (ended.message if ended else "", message) if part)
    if status.restart_count < patience.CRASHES:
        sentence = f"The {_which(status.name)} ended{how}{memory}; the cluster starts it once more."
        return verdict(ReasonCode.RUNNER_LOST, sentence, words)
    sentence = f"The {_which(status.name)} ends again and again{how}{memory}."
    return verdict(ReasonCode.RUNNER_LOST, sentence, words, final=True)


def _sandbox(events: Sequence[Event]) -> Verdict | None:
    failed = latest_since(
        events, ("FailedCreatePodSandBox", "NetworkNotReady"), ("Pulling", "Pulled", "Created")
    )
    if failed is None:
        return None
    sentence = "The node can't prepare the runner's network or isolation yet; it goes on trying."
    return verdict(ReasonCode.STAGING, sentence, failed.message)


def _doing(pod: Pod) -> str:
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((one.state.waiting.reason for one in statuses if one.state.waiting), "")


def _which(container: str) -> str:
    return {RUNNER: "runner beside the script", TASK: "container of the script"}.get(
        container, f"container {container}"
    )
