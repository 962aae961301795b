"""A clock that jumps. (With a true monotonic clock, libfaketime 0.9.10 breaks ``time.sleep`` of Python.)"""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class SkewedClock:
    """What programs with ``env`` take for the time of day; durations stay true."""

    def __init__(self, directory: Path) -> None:
        library = directory / "skewed_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O", "-o", library, _SOURCE], check=True)
        self._file = directory / "skew"
        self.jump(0)
        self.env = {"LD_PRELOAD": str(library), "SKEWED_CLOCK": str(self._file)}

    def jump(self, seconds: int) -> None:
        """Be this far from the true time from now on."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds}\n")
        part.replace(self._file)
