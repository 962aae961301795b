"""The breaker: pauses a job whose first tasks failed alike, so that somebody looks before thousands more do.

It asks once. Whoever resumes the job has seen it; and who said beforehand what failures mean, by
``--fail-fast`` or ``--keep-going``, isn't asked at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from offload.model.counts import Counts
from offload.model.failure import ALIKE, Failure
from offload.model.reasons import Reason, ReasonCode
from offload.model.spec import Spec
from offload.model.states import Target


def may_trip(target: Target, counts: Counts, spec: Spec, *, tripped: bool) -> bool:
    """Whether it matters how the first tasks failed; nobody needs to look as long as it doesn't.

    Args:
        target: what is wanted of the job.
        counts: its tasks.
        spec: what was asked.
        tripped: whether it has paused the job before.
    """
    if tripped or target is not Target.DONE or spec.keep_going or spec.fail_fast is not None:
        return False
    return not counts.succeeded and counts.failed >= ALIKE and counts.pending >= ALIKE


def why_pause(failures: Sequence[Failure]) -> Reason | None:
    """What the first failures have in common, as the reason to pause; None when they don't suffice."""
    if len(failures) < ALIKE or len({failure.kind for failure in failures}) > 1:
        return None
    first = failures[0].reason
    return Reason(
        code=ReasonCode.FAILED_ALIKE,
        sentence=f"No task has succeeded, and the first {len(failures)} failed alike: {first.sentence}",
        words=first.words,
    )
