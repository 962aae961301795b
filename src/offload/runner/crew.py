"""The threads of a runner that serve one attempt after another.

To make a thread and to wait for its end takes a tenth of a millisecond each, and more on a machine that is
busy, which is much for a short task. These are made once, and sleep while an attempt doesn't need them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from offload.runner.checkpoint import Watch
from offload.runner.patience import Patience
from offload.runner.pump import Pump
from offload.runner.sender import Sender


@dataclass(frozen=True, slots=True)
class Crew:
    """Moves output, sends it, and looks at checkpoints."""

    pump: Pump
    sender: Sender
    watch: Watch


@contextlib.contextmanager
def crew(patience: Patience, *, checkpoint_every: float, dismissed: Callable[[], None]) -> Iterator[Crew]:
    """Have a crew for the body; ``dismissed`` is called when the launcher wants no more of this runner."""
    those = Crew(Pump(), Sender(patience, dismissed), Watch(checkpoint_every))
    for one in (those.pump, those.sender, those.watch):
        one.start()
    try:
        yield those
    finally:
        for one in (those.pump, those.sender, those.watch):
            one.close()
