"""CPU, memory, GPU and time: what a person asks for, read from the notations that people use.

Memory is bytes, time is seconds, CPUs may be fractions. ``4Gi`` and ``4GiB`` are powers of 1024, ``4G``
and ``4GB`` powers of 1000, as in Kubernetes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from offload.errors import UsageError

_BINARY: Final = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_DECIMAL: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s?)?")
_CLOCK: Final = re.compile(r"(?:(\d+)-)?(\d{1,3}):([0-5]\d):([0-5]\d)")
_LEAST_BARE: Final = 1 << 20
"""A number without a unit counts as bytes from here on; whoever writes less has forgotten the unit."""
_MOST_GIB: Final = 100
"""From here on it is rather the ``Mi`` that was forgotten."""
WRITE_MEMORY: Final = "Write it like 500Mi, 4Gi or 1.5GB."
WRITE_DURATION: Final = "Write it like 90s, 30m, 2h, 1d12h or 2:00:00."
MAX_CPUS: Final = 100_000
MAX_SECONDS: Final = 366 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one task needs.

    Attributes:
        cpus: CPUs, fractions allowed.
        memory: bytes, or None for no limit; None counts as the CPUs' share of the machine at admission.
        gpus: whole GPUs.
    """

    cpus: float = 1.0
    memory: int | None = None
    gpus: int = 0


def parse_memory(text: str, what: str = "an amount of memory") -> int:
    """Bytes of ``4Gi``, ``500MB``, ``1.5g`` or ``1048576``.

    Raises:
        UsageError: it is not ``what`` it should be, a positive one, or its unit was forgotten.
    """
    written = text.strip()
    size = bytes_of(written)
    if size is not None and written[-1].isdigit() and 0 < float(written) < _LEAST_BARE:
        raise _without_unit(written, float(written))
    if not size:
        raise UsageError(f"{text!r} is not {what}.", next_step=WRITE_MEMORY)
    return size


def bytes_of(text: str) -> int | None:
    """Bytes of a size in any notation, possibly 0; None when it is none."""
    match = _MEMORY.fullmatch(text.strip())
    unit = match[2].lower() if match else ""
    factor = _BINARY.get(unit) or _DECIMAL.get(unit)
    return int(float(match[1]) * factor) if match and factor else None


def _without_unit(text: str, number: float) -> UsageError:
    unit = "Gi" if number < _MOST_GIB else "Mi"
    return UsageError(
        f"{text!r} has no unit, and so few bytes are no use.", next_step=f"Did you mean {text}{unit}?"
    )


def parse_cpus(text: str) -> float:
    """CPUs of ``2``, ``0.5`` or ``500m``.

    Raises:
        UsageError: it is not a positive number of CPUs.
    """
    raw = text.strip()
    try:
        cpus = float(raw[:-1]) / 1000 if raw.endswith("m") else float(raw)
    except ValueError:
        cpus = 0.0
    if not 0 < cpus <= MAX_CPUS:
        raise UsageError(f"{text!r} is not a number of CPUs.", next_step="Write it like 4, 0.5 or 500m.")
    return cpus


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``30m``, ``2h``, ``1d12h`` or Slurm's ``[D-]H:MM:SS``.

    Raises:
        UsageError: it is not a positive duration of at most a year.
    """
    seconds = seconds_of(text)
    if seconds is None or not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"{text!r} is not a duration.", next_step=WRITE_DURATION)
    return seconds


def seconds_of(text: str) -> float | None:
    """Seconds of a duration in any notation, possibly 0; None when it is none."""
    raw = text.strip().lower()
    if clock := _CLOCK.fullmatch(raw):
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        return float(days * 86400 + hours * 3600 + minutes * 60 + rest)
    match = _DURATION.fullmatch(raw)
    if not raw or not match:
        return None
    parts = zip(match.groups(), _SECONDS.values(), strict=True)
    return sum(float(part) * unit for part, unit in parts if part)


def format_memory(size: float) -> str:
    """``1.5 GiB`` of a number of bytes."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def format_size(count: float) -> str:
    """``1 byte``, ``34 kB``, ``1.4 GB``: sizes of files, in powers of 1000 as file managers show them."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004  SI prefixes
            return f"{value:.3g} {unit}" if value != 1 or unit != "bytes" else "1 byte"
        value /= 1000
    return f"{value:.3g} TB"


def format_cpus(cpus: float) -> str:
    """``2 CPUs``, ``1 CPU``, ``0.5 CPUs``."""
    return f"{cpus:g} CPU" if cpus == 1 else f"{cpus:g} CPUs"


def format_gpus(gpus: int) -> str:
    """``2 GPUs``, ``1 GPU``."""
    return f"{gpus} GPU" if gpus == 1 else f"{gpus} GPUs"


def format_duration(seconds: float) -> str:
    """``1d 2h``, ``3m 20s``, ``4.1s`` of seconds: the two largest units that matter."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f}s"
    whole = round(seconds)
    parts: list[str] = []
    for unit, size in _SECONDS.items():
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
