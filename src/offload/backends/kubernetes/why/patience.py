"""How long something may look hopeless before it counts as refused for good. All in seconds.

An autoscaler looks at waiting pods every 10 s and says within two rounds whether it will help. What an
administrator has to repair doesn't repair itself in a minute; what a network, a node or a storage system
has to do may need one.
"""

from __future__ import annotations

from typing import Final

AUTOSCALER: Final = 30.0
"""For an autoscaler to say that it will add a node."""
TAINT: Final = 120.0
"""The same where a node is closed by a taint that isn't named: it may be one that is just starting anew."""
OBJECT: Final = 15.0
"""For a Secret, ConfigMap or claim that doesn't exist to appear."""
VOLUME: Final = 60.0
"""For a volume that can't be mounted."""
CLAIM: Final = 120.0
"""For a claim that has no volume yet to get one."""
CRASHES: Final = 2
"""Restarts of a runner that never worked; Kubernetes pauses 10 s, then 20 s, between them."""
BEGINNING: Final = 180.0
"""From the start of a pod: whoever ended so often within it never worked."""
