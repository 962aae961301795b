"""``--memory auto``: what earlier jobs with the same script needed decides.

A person who doesn't know how much memory a script needs asks for far too much, or for too little. What the
last jobs with it used is known, so the largest of that and a quarter more is asked for. A script that never
ran gets what the cluster gives to those who say nothing. Which of the two it was is said as the origin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from offload.client.api import Api
from offload.client.plan import Plan, make_spec
from offload.model.manifest import digest_of
from offload.model.resources import format_memory
from offload.model.usage import Usage
from offload.wire.api import ClusterView

_NOTHING_KNOWN: Final = "nothing is known of this script yet"


def learned(api: Api, plan: Plan, cluster: ClusterView) -> tuple[Plan, str]:
    """The plan with the memory that earlier jobs tell, and a sentence; as it is where nobody asked."""
    if not plan.settings.memory_auto:
        return plan, ""
    return with_memory(plan, api.history(make_spec(plan, cluster, snapshot=digest_of(b""))))


def with_memory(plan: Plan, usage: Usage | None) -> tuple[Plan, str]:
    """The plan with memory that would have fitted what was used; left open where nothing is known."""
    if usage is None:
        memory, told = None, _NOTHING_KNOWN
        sentence = f"{told}, so the cluster's default memory is asked for"
    else:
        memory, told = usage.fits_memory, _told(usage)
        sentence = f"memory {format_memory(memory)}, because {told}"
    origins = {**plan.settings.origins, "memory": f"auto: {told}"}
    settings = replace(plan.settings, memory_auto=False, memory=memory, origins=origins)
    return replace(plan, settings=settings), sentence


def _told(usage: Usage) -> str:
    attempts = "1 attempt" if usage.attempts == 1 else f"{usage.attempts:,} attempts"
    jobs = "1 job" if usage.jobs == 1 else f"{usage.jobs:,} jobs"
    return f"{attempts} of {jobs} used up to {format_memory(int(usage.memory.max))}"
