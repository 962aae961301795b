"""Speed on Kubernetes: rows of the table in ``docs/explanation/benchmarks.md``, on the cluster of the tests.

``make bench-kubernetes`` takes a quarter of an hour. With the words ``--quick``, ``K1``, ``K2``, ``K4`` or
``G`` it takes less, and with ``--whole`` the peer of K2 gets as many pods as there are tasks, which takes
twenty minutes more. It wants the machine and the cluster for itself: tests that break the cluster break it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from benchmarks.arrays import arrays
from benchmarks.first_line import first_line
from benchmarks.thousand import thousand
from benchmarks.through import through
from cluster import control


def main(words: list[str]) -> None:
    """Measure what is named, or everything."""
    quick, whole = "--quick" in words, "--whole" in words
    parts: dict[str, Callable[[], None]] = {
        "K1": lambda: first_line(rounds=3 if quick else 7),
        "K2": lambda: arrays(
            tasks=100 if quick else 1000, completions=1000 if whole else 20 if quick else 40
        ),
        "K4": thousand,
        "G": lambda: through(rounds=2 if quick else 5),
    }
    known = {*parts, "--quick", "--whole"}
    if unknown := [word for word in words if word not in known]:
        sys.exit(f"There is no {', '.join(unknown)}, but {', '.join(sorted(known))}.")
    chosen = [word for word in words if word in parts] or list(parts)
    print("| what | Offload | peer | ratio |\n|---|---|---|---|", flush=True)
    disturbed = [name for name in chosen if not _measured(name, parts[name])]
    # Somebody stopped a part of the cluster meanwhile, for a test: once again.
    failed = [name for name in disturbed if not _measured(name, parts[name])]
    sys.exit(f"Not measured: {', '.join(failed)}." if failed else 0)


def _measured(name: str, part: Callable[[], None]) -> bool:
    control.up()
    try:
        part()
    except Exception:  # noqa: BLE001  whatever it was is shown
        print(f"| {name} was disturbed | | | |", flush=True)
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
