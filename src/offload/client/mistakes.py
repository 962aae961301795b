"""All mistakes at once: noted where they are found, and told together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from offload.errors import OffloadError, UsageError


@contextmanager
def noted(mistakes: list[UsageError]) -> Iterator[None]:
    """Add the mistake that the body finds to the others, and go on."""
    try:
        yield
    except UsageError as error:
        mistakes.append(error)


def together(mistakes: Sequence[OffloadError]) -> OffloadError:
    """All mistakes as one, each next step once; a single one as it is."""
    if len(mistakes) == 1:
        return mistakes[0]
    steps = dict.fromkeys(line for error in mistakes for line in error.next_step.splitlines())
    return UsageError("\n".join(error.sentence for error in mistakes), next_step="\n".join(steps))
