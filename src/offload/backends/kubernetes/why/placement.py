"""The scheduler's message, read: which nodes there are, and why none of them takes the pod.

``0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient nvidia.com/gpu. preemption: 0/4
nodes are available: 1 No preemption victims found for incoming pod, 3 Preemption is not helpful for
scheduling.`` The second half tells more than it seems to: ending other pods is "not helpful" exactly on nodes
that couldn't take this one even if they were empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_HEAD: Final = re.compile(r"\s*\d{1,7}/(\d{1,7}) nodes are available: ?(.*)", re.DOTALL)
_ITEM: Final = re.compile(r"(\d{1,7}) (.+)", re.DOTALL)
_INSUFFICIENT: Final = "Insufficient "
_TAINT: Final = re.compile(
    r"untolerated taint(?:\(s\))?(?: \{([^}]*)\})?|taints? that the pod didn't tolerate"
)
_STATIC: Final = ("affinity/selector", "were unschedulable", "volume", "pod affinity rules", "node name")
_PASSING: Final = ("node.kubernetes.io/", "uninitialized", "not-ready", "ToBeDeleted", "startup")
"""Parts of the keys of taints that go away by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Why no node takes a pod.

    Attributes:
        nodes: how many there are.
        lacking: resources of which some node has not enough, as Kubernetes names them.
        too_small: nodes that lack them even when empty; None when it isn't told.
        full: nodes that have them, but not free.
        others: how many nodes say no for another reason, by that reason.
        general: what the scheduler says without counting nodes, such as a claim that isn't there.
    """

    nodes: int
    lacking: tuple[str, ...] = ()
    too_small: int | None = None
    full: int = 0
    others: tuple[tuple[int, str], ...] = ()
    general: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether no node could take the pod even if it were empty, and none is about to change."""
        counted = bool(self.lacking or self.others) and not self.general
        return counted and self.too_small is not None and not self.full and not self.passing

    @property
    def passing(self) -> bool:
        """Whether some node says no for a reason that goes away by itself."""
        return any(_is_passing(why) for _, why in self.others)

    @property
    def vague(self) -> bool:
        """Whether some node is closed by a taint that isn't named."""
        return any(_is_taint(why) and not taint_in(why) for _, why in self.others)


def read_placement(message: str) -> Placement | None:
    """What the scheduler's message tells; None when it is another message."""
    first, _, second = message.partition("preemption:")
    head = _HEAD.match(first)
    if head is None:
        return None
    nodes, items, general = int(head[1]), _items(head[2]), ""
    if not items:
        general = _clause(head[2])
    lacking = tuple(why.removeprefix(_INSUFFICIENT) for _, why in items if why.startswith(_INSUFFICIENT))
    if any(why == "Too many pods" for _, why in items):
        lacking += ("pods",)
    others = tuple(item for item in items if not _is_lack(item[1]))
    elsewhere = sum(count for count, _ in others)
    useless = _useless(second)
    # A node is counted once for each resource that it lacks, but once in all for anything else.
    short = max(0, nodes - elsewhere) if lacking else 0
    stuck = sum(count for count, why in others if _is_static(why))
    too_small = None if useless is None else min(short, max(0, useless - stuck))
    full = short - too_small if too_small is not None else 0
    return Placement(
        nodes=nodes, lacking=lacking, too_small=too_small, full=full, others=others, general=general
    )


def taint_in(why: str) -> str:
    """``key=value`` of the taint in a node's reason; empty when it isn't told."""
    match = _TAINT.search(why)
    key, _, value = (match[1] or "").partition(":") if match else ("", "", "")
    return "=".join(part for part in (key.strip(), value.strip()) if part)


def _items(text: str) -> list[tuple[int, str]]:
    found = (_ITEM.fullmatch(part.strip()) for part in re.split(r", (?=\d+ )", _clause(text)))
    return [(int(match[1]), match[2]) for match in found if match]


def _clause(text: str) -> str:
    """The first sentence; what follows speaks of attempts to make room."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0].strip()


def _useless(preemption: str) -> int | None:
    head = _HEAD.match(preemption)
    if head is None:
        return None
    return sum(count for count, why in _items(head[2]) if "not helpful" in why)


def _is_lack(why: str) -> bool:
    return why.startswith(_INSUFFICIENT) or why == "Too many pods"


def _is_taint(why: str) -> bool:
    return _TAINT.search(why) is not None


def _is_static(why: str) -> bool:
    """Whether the scheduler counts such a node as one where ending pods is of no use."""
    return _is_taint(why) or any(part in why for part in _STATIC)


def _is_passing(why: str) -> bool:
    if "affinity/selector" in why:
        return False
    taint = taint_in(why)
    if _is_taint(why):
        return any(part in taint for part in _PASSING)
    return True
