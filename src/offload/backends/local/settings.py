"""Settings of a local cluster. Everything has a default; what is written is checked strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from offload.errors import SettingsError, UsageError
from offload.model.resources import Resources, parse_cpus, parse_duration, parse_memory

PATIENCE: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """What may be written for a cluster whose backend is ``local``.

    Attributes:
        cpus: CPUs that tasks may use together; the machine's by default.
        memory: bytes that tasks may use together (``8Gi``); the machine's by default.
        gpus: GPUs that tasks may use together; the machine's by default.
        patience: how long smaller tasks may pass one that doesn't fit (``10m``), in seconds; 0 keeps
            strictly to the order of submission.
    """

    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None
    patience: float = PATIENCE

    def capacity(self, machine: Resources) -> Resources:
        """What tasks may use together on a machine."""
        return Resources(
            cpus=machine.cpus if self.cpus is None else self.cpus,
            memory=machine.memory if self.memory is None else self.memory,
            gpus=machine.gpus if self.gpus is None else self.gpus,
        )


def read_settings(settings: Mapping[str, Any]) -> LocalSettings:
    """Check what was written.

    Raises:
        SettingsError: unknown keys or values that don't fit, all of them at once.
    """
    read = LocalSettings()
    mistakes: list[tuple[list[str], str]] = []
    for key, value in settings.items():
        reader = _READERS.get(key)
        if reader is None:
            mistakes.append(([key], f"there is no setting {key!r}"))
            continue
        try:
            read = replace(read, **{key: reader(value)})
        except UsageError as error:
            mistakes.append(([key], error.sentence.rstrip(".")))
    if mistakes:
        raise SettingsError(
            f"The settings of the local cluster are not valid: {'; '.join(map(_told, mistakes))}.",
            next_step=f'Valid settings are {", ".join(_READERS)}; for example memory = "8Gi".',
            details={"mistakes": mistakes},
        )
    return read


def _told(mistake: tuple[list[str], str]) -> str:
    path, sentence = mistake
    return f"{'.'.join(path)}: {sentence}"


def _cpus(value: object) -> float:
    return parse_cpus(_text(value))


def _memory(value: object) -> int:
    return parse_memory(_text(value))


def _gpus(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{value!r} is not a number of GPUs.")
    return value


def _patience(value: object) -> float:
    text = _text(value)
    return 0.0 if text == "0" else parse_duration(text)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UsageError(f"{value!r} is neither a number nor a text.")
    return str(value)


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "cpus": _cpus,
    "memory": _memory,
    "gpus": _gpus,
    "patience": _patience,
}
