"""The JSON shapes, from the dataclasses of the public API and the values in them."""

import dataclasses
import enum
import types
import typing

from offload.model import (
    array,
    counts,
    diagnosis,
    parameters,
    reasons,
    resources,
    spec,
    states,
    usage,
    use,
)
from offload.wire import api, content

from .text import attributes, prose, table

SHAPES: tuple[type, ...] = (
    api.JobPage,
    api.JobView,
    spec.Spec,
    resources.Resources,
    array.Array,
    parameters.Parameters,
    parameters.Axis,
    parameters.Table,
    counts.Counts,
    reasons.Reason,
    api.TaskPage,
    api.TaskView,
    api.AttemptView,
    use.Use,
    api.UsageView,
    usage.Usage,
    usage.Spread,
    api.EventView,
    api.ClusterView,
    diagnosis.Diagnosis,
    diagnosis.Finding,
    api.LauncherView,
    api.Submission,
    api.Rerun,
    api.ClusterChange,
    content.Digests,
    states.State,
    states.Target,
    states.AttemptState,
)

_HEAD = """# JSON shapes

The commands with `--json` and the HTTP API print the same objects. Times are seconds since 1970 (UTC),
durations are seconds, sizes are bytes. A field that is `null` isn't known, or doesn't apply. New fields may
appear; those that are here keep their meaning within one API version.

| command | prints |
|---|---|
| `offload jobs --json` | [JobPage](#jobpage) |
| `offload status --json` | [JobView](#jobview), [TaskViews](#taskview), [Usage](#usage) of the attempts |
| `offload run -d --json`, `wait`, `cancel`, `rerun` | [JobView](#jobview) |
| `offload clusters --json` | a list of [ClusterView](#clusterview) |
| `offload clusters show --json`, `add` | [ClusterView](#clusterview) |
| `offload clusters check --json` | [Diagnosis](#diagnosis) |
| `offload launcher status --json` | [LauncherView](#launcherview), or `null` when none runs |
| `offload why`, `table`, `failures`, `collect`, `explain`, `run --show` | told in the help of each |
| any of them, on a mistake | `{"code", "sentence", "next_step", "details"}`, on stderr |
"""


def page() -> str:
    """The page of JSON shapes."""
    return "\n".join([_HEAD, *map(_section, SHAPES)])


def _section(shape: type) -> str:
    head = f"## {shape.__name__}\n\n{prose(shape.__doc__)}\n"
    if issubclass(shape, enum.Enum):
        return f"{head}\n{', '.join(f'`{member.value}`' for member in shape)}\n"
    told = attributes(shape.__doc__)
    hints = typing.get_type_hints(shape)
    rows = [
        (f"`{field.name}`", type_text(hints[field.name]), told.get(field.name, "").replace("None", "`null`"))
        for field in dataclasses.fields(shape)
    ]
    return f"{head}\n{table(('field', 'type', ''), rows)}\n"


_NAMES = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", type(None): "`null`"}


def type_text(hint: object) -> str:
    """A type in the words of JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(type_text, arguments))
    if origin is tuple:
        inner = type_text(arguments[0])
        return f"list of ({inner})" if inner.startswith("list") else f"list of {inner}"
    if origin is dict:
        return "object" if arguments[1] is typing.Any else f"object of {type_text(arguments[1])}"
    if hint in SHAPES:
        name = getattr(hint, "__name__", "")
        return f"[{name}](#{name.lower()})"
    return _NAMES.get(hint, str(hint))  # type: ignore[call-overload]  # any hashable hint may be asked
