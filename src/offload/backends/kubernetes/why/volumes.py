"""Why the volumes of a pod aren't there: claims, Secrets, network shares, directories of the node."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from offload.backends.kubernetes.objects import Event, Pod
from offload.backends.kubernetes.why import patience
from offload.backends.kubernetes.why.evidence import Verdict, latest_since, seconds, time_of, verdict
from offload.model.reasons import ReasonCode

_CLAIM: Final = re.compile(r'persistentvolumeclaim "([^"]{1,300})" (not found|is being deleted)')
_OBJECT: Final = re.compile(r'(secret|configmap)s? "([^"]{1,300})" not found', re.IGNORECASE)
_VOLUME: Final = re.compile(r'for volume "([^"]{1,300})"')
_UNDONE: Final = ("Pulling", "Pulled", "Created", "Started")
"""Events of containers: they begin when all volumes are there."""


def explain_claim(general: str, words: str, waited: float) -> Verdict | None:
    """What the scheduler says of a claim; None when it speaks of something else."""
    if match := _CLAIM.search(general):
        gone = "doesn't exist" if match[2] == "not found" else "is being deleted"
        sentence = (
            f"The volume claim {match[1]} {gone}. Ask the cluster's administrator, or leave out its mount."
        )
        return verdict(ReasonCode.REFUSED, sentence, words, final=waited >= patience.OBJECT)
    if "unbound immediate PersistentVolumeClaims" in general:
        sentence = "Waits for a volume: a volume claim of one of its mounts has no volume"
        after = (
            ", and nothing seems to make one. Ask the cluster's administrator"
            if waited >= patience.CLAIM
            else ""
        )
        return verdict(ReasonCode.UNSCHEDULABLE, f"{sentence}{after}.", words, final=bool(after))
    return None


def explain_volumes(pod: Pod, events: Sequence[Event], now: datetime) -> Verdict | None:
    """Why a volume of a pod that has a node isn't mounted; None when nothing says so."""
    failed = latest_since(events, ("FailedMount", "FailedAttachVolume", "FailedMapVolume"), _UNDONE)
    if failed is None:
        return None
    waited = seconds(failed.first_timestamp or pod.status.start_time or time_of(failed), now)
    words = failed.message
    if match := _OBJECT.search(words):
        return _missing(pod, match[1].capitalize(), match[2], words, waited)
    if failed.reason == "FailedAttachVolume":
        sentence = (
            "Waits for a volume: the cluster can't attach it to the node yet, often because another has it."
        )
        return verdict(ReasonCode.STAGING, sentence, words)
    return _unmounted(words, waited)


def _missing(pod: Pod, kind: str, name: str, words: str, waited: float) -> Verdict:
    # The pool's own Secret is made just after the Job, and again when somebody removes it.
    own = any(name.startswith(f"offload-{pool}") for pool in _pools(pod))
    if own:
        return verdict(ReasonCode.STAGING, "Waits for its Secret, which Offload makes.", words)
    sentence = f"{missing_object(kind, name)} Ask the cluster's administrator."
    return verdict(ReasonCode.REFUSED, sentence, words, final=waited >= patience.OBJECT)


def missing_object(kind: str, name: str) -> str:
    """The sentence on a Secret or ConfigMap that isn't there."""
    return f"The {kind} {name}, which the cluster's settings name, doesn't exist."


def _unmounted(words: str, waited: float) -> Verdict:
    match = _VOLUME.search(words)
    name = f" {match[1]}" if match else ""
    why = next((told for part, told in _CAUSES if part in words), "")
    sentence = f"The volume{name} can't be mounted{f': {why}' if why else ''}."
    if waited < patience.VOLUME:
        return verdict(ReasonCode.STAGING, f"{sentence} The cluster goes on trying.", words)
    return verdict(
        ReasonCode.REFUSED,
        f"{sentence} Ask the cluster's administrator, or leave out its mount.",
        words,
        final=True,
    )


_CAUSES: Final = (
    ("hostPath type check failed", "the node has no such directory"),
    ("access denied", "the file server refuses this node"),
    ("Connection refused", "the file server doesn't answer"),
    ("timed out", "the file server doesn't answer"),
    ("No route to host", "the file server can't be reached"),
    ("Failed to resolve server", "nobody knows a file server of this name"),
    ("Name or service not known", "nobody knows a file server of this name"),
    ("No such file or directory", "there is no such directory"),
    ("bad option", "the node lacks the program that mounts such volumes"),
    ("unknown filesystem type", "the node can't mount such volumes"),
)


def _pools(pod: Pod) -> list[str]:
    pool = pod.metadata.labels.get("offload.dev/pool")
    return [pool] if pool else []
