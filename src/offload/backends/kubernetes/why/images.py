"""Why a container image isn't there: it doesn't exist, it isn't ours to see, or its registry is away.

Only an answer of the registry is final. Whoever doesn't answer today may do so in a minute.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from offload.backends.kubernetes.objects import Event, Pod, Waiting
from offload.backends.kubernetes.why.evidence import (
    RUNNER,
    Verdict,
    at_least,
    image_of,
    seconds,
    time_of,
    times_seen,
    verdict,
)
from offload.model.reasons import ReasonCode

STATES: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Reasons of a waiting container that speak of its image."""
_AT_ONCE: Final = {
    "InvalidImageName": "has no valid name: names are like `registry.example.com/name:tag`, in lower case",
    "ErrImageNeverPull": "isn't on the node, and the cluster's settings forbid to fetch it",
    "SignatureValidationFailed": "has no signature that the cluster accepts",
}
_AWAY: Final = re.compile(
    r"dial tcp|no such host|connection refused|connection reset|i/o timeout|TLS handshake|x509|(?-i:\bEOF\b)"
    r"|deadline exceeded|toomanyrequests|too many requests|status(?: code)?:? (?:429|5\d\d)"
    r"|registry is unavailable|no route to host|network is unreachable|server misbehaving"
    r"|server gave HTTP response",
    re.IGNORECASE,
)
_HIDDEN: Final = re.compile(
    r"unauthorized|\b401\b|\b403\b|forbidden|denied|authorization failed|no basic auth|failed to authorize"
    r"|authentication required",
    re.IGNORECASE,
)
_ABSENT: Final = re.compile(r"not found|manifest unknown|name unknown|\b404\b|does not exist", re.IGNORECASE)
_PLATFORM: Final = re.compile(
    r"no match for platform|no matching manifest|no image found .*architecture", re.IGNORECASE
)
_TRIED_AGAIN: Final = 2


def explain_image(pod: Pod, container: str, waiting: Waiting, events: Sequence[Event]) -> Verdict:
    """Why the image of a waiting container isn't there."""
    words, whose = _words(waiting, events), _whose(pod, container)
    said = _without_names(words, image_of(pod, container))
    if waiting.reason in _AT_ONCE:
        sentence = f"{whose} {_AT_ONCE[waiting.reason]}. Use another one."
        return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words, final=True)
    if problem := _answer(said):
        sentence = f"{whose} {problem}. {_advice(container)}"
        return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words, final=_sure(waiting, events))
    if _AWAY.search(said):
        sentence = f"{whose} can't be fetched now, because its registry doesn't answer as it should."
        return verdict(ReasonCode.IMAGE_UNAVAILABLE, f"{sentence} The cluster goes on trying.", words)
    sentence = f"{whose} can't be fetched; the cluster's own words say why, and it goes on trying."
    return verdict(ReasonCode.IMAGE_UNAVAILABLE, sentence, words)


def explain_pull(events: Sequence[Event], now: datetime) -> Verdict | None:
    """That an image is on its way; None when none is."""
    for pulling in (one for one in events if one.reason == "Pulling"):
        image = _quoted(pulling.message)
        about = [one for one in events if image and f'"{image}"' in one.message and one is not pulling]
        if all(time_of(one) < time_of(pulling) for one in about):
            gone = at_least(seconds(time_of(pulling), now))
            sentence = f"The node fetches the image {image}{gone}; a large one takes minutes the first time."
            return verdict(ReasonCode.STAGING, sentence, pulling.message)
    return None


def _quoted(message: str) -> str:
    match = re.search(r'"([^"]{1,500})"', message)
    return match[1] if match else ""


def _without_names(words: str, image: str) -> str:
    """What is said without names and addresses: an image may be called ``denied:404``."""
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    bare = re.sub(r'"[^"]{0,500}"', "", words)
    return " ".join(word for word in bare.split() if not repository or repository not in word)


def _answer(words: str) -> str:
    """What the registry answered; empty when it gave no answer that would settle it."""
    if _PLATFORM.search(words):
        return "isn't made for the processors of this cluster"
    if _AWAY.search(words):
        return ""
    # Many registries tell whoever may not look the same as whoever looks for what isn't there.
    if _HIDDEN.search(words):
        return "doesn't exist, or its registry doesn't show it to this cluster"
    return "doesn't exist in its registry" if _ABSENT.search(words) else ""


def _sure(waiting: Waiting, events: Sequence[Event]) -> bool:
    """Whether the answer is more than the first one: a registry may have had a bad moment."""
    tries = [times_seen(one) for one in events if one.reason == "Failed" and "pull image" in one.message]
    return waiting.reason == "ImagePullBackOff" or max(tries, default=0) >= _TRIED_AGAIN


def _words(waiting: Waiting, events: Sequence[Event]) -> str:
    """The error itself; older versions of Kubernetes tell it in the event alone."""
    if waiting.reason == "ImagePullBackOff" and "ErrImagePull" not in waiting.message:
        failed = [one for one in events if one.reason == "Failed" and "pull image" in one.message]
        if failed:
            return max(failed, key=time_of).message
    return waiting.message or waiting.reason


def _whose(pod: Pod, container: str) -> str:
    image = image_of(pod, container)
    name = f" {image}" if image else ""
    return f"The image{name} of Offload's runner" if container == RUNNER else f"The image{name}"


def _advice(container: str) -> str:
    if container == RUNNER:
        return "Ask whoever set up the cluster to correct its `runner_image`."
    return "Check its name and tag, or whether the cluster needs a password for it."
