"""What a runner printed last, when it ended without a word to the launcher.

A runner that can't start (its image is of another version, its token is refused) can tell nobody but its
container's log, and that is gone with the pod.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from offload.backends.kubernetes.api_errors import KubernetesError
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.names import pod_of
from offload.backends.kubernetes.why.evidence import RUNNER
from offload.model.observation import Observation, Phase
from offload.model.reasons import ReasonCode

_LINES: Final = 5
_BYTES: Final = 2000
_PATIENCE: Final = 2.0
"""Seconds; everything else that is seen waits behind this."""


async def with_last_words(client: Client, namespace: str, seen: Observation) -> Observation:
    """The same observation; of a runner that was lost, with what it printed last."""
    if seen.phase is not Phase.ENDED or seen.runner is None or seen.reason is None:
        return seen
    if seen.reason.code is not ReasonCode.RUNNER_LOST:
        return seen
    path = f"/api/v1/namespaces/{namespace}/pods/{pod_of(seen.runner)}"
    try:
        async with asyncio.timeout(_PATIENCE):
            printed = await client.log(path, RUNNER, lines=_LINES, limit_bytes=_BYTES)
    except (KubernetesError, TimeoutError):  # the node is gone, or the pod is by now
        return seen
    words = "\n".join(
        part for part in (seen.reason.words, printed.decode("utf-8", "replace").strip()) if part
    )
    return replace(seen, reason=replace(seen.reason, words=words))
