"""Every situation that is recorded, in the order of recording."""

from __future__ import annotations

from recording.ending import ENDING
from recording.images import IMAGES
from recording.jobs import JOBS
from recording.living import LIVING
from recording.nodes import NODES
from recording.placing import PLACING
from recording.preparing import PREPARING
from recording.situation import Situation

SITUATIONS: tuple[Situation, ...] = (
    *PLACING,
    *IMAGES,
    *PREPARING,
    *LIVING,
    *ENDING,
    *JOBS,
    *NODES,
)
