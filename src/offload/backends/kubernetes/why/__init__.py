"""Why a runner waits, or how it ended: Kubernetes' evidence in plain words.

Kubernetes tells what it does in half a dozen places: phases, conditions, states of containers, exit statuses,
events, the refusals of its API. Each of them was written for its administrators. Here all of it becomes one
:class:`~offload.model.observation.Observation`: a phase, a reason that a data scientist understands, and
whether waiting is of any use. What Kubernetes said stays beside it, word for word.

Three promises. It is *total*: whatever comes, from a newer Kubernetes or from a broken one, becomes an
observation; nothing raises. It is *pure*: the same evidence gives the same observation, and the passing time
changes it only at the few moments that ``patience`` names. And it *never guesses an end*: only a pod whose
phase says that all its containers are gone has ended.
"""

from __future__ import annotations

from offload.backends.kubernetes.why.denials import explain_denial
from offload.backends.kubernetes.why.jobs import observe_job
from offload.backends.kubernetes.why.observe import gone, observe

__all__ = ["explain_denial", "gone", "observe", "observe_job"]
