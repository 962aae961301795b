"""``offload run --show``: the final spec, and where each of its values came from."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import click

from offload.cli.fitting import shortened
from offload.cli.shared import print_json
from offload.cli.text import number_of, table
from offload.client.api import Api
from offload.client.learning import learned
from offload.client.parameters import Variation
from offload.client.plan import Plan, choose_cluster, make_spec, session_env
from offload.client.settings import COMMAND_LINE, DEFAULT
from offload.model.growth import can_grow, sizes_of
from offload.model.manifest import digest_of
from offload.model.parameters import Axis
from offload.model.resources import format_cpus, format_duration, format_memory, format_size
from offload.model.spec import Spec
from offload.wire.codec import to_builtins

_BY_CLUSTER: Final = ("cpus", "memory", "gpus", "image", "queue")
_NOTHING: Final = digest_of(b"")
_LONGEST: Final = 40
"""Characters of a variable's value, at most."""


def show_plan(api: Api, plan: Plan, *, as_json: bool) -> None:
    """Print the spec with what the cluster fills in; nothing is sent, so its snapshot is empty.

    Raises:
        UsageError: the cluster would refuse it.
    """
    cluster = choose_cluster(api.clusters(), plan.settings.on)
    plan, _ = learned(api, plan, cluster)
    asked = make_spec(plan, cluster, snapshot=_NOTHING)
    spec = replace(api.admission(asked), snapshot="")
    session = session_env(cluster, os.environ)
    if as_json:
        origins: dict[str, Any] = {**_filled_in(asked, spec), **plan.settings.origins}
        print_json({"spec": to_builtins(spec), "root": str(plan.root), "origins": origins})
    else:
        click.echo(
            table(
                ("what", "value", "from"),
                _rows(plan, spec, session, _filled_in(asked, spec)),
                whole=("value",),
            )
        )


def _filled_in(asked: Spec, spec: Spec) -> dict[str, str]:
    """What the cluster decided, because nobody asked for it."""
    return {
        key: f"cluster {spec.cluster}"
        for key, value in _facts(spec).items()
        if key in _BY_CLUSTER and value != _facts(asked)[key]
    }


def _facts(spec: Spec) -> dict[str, str]:
    return {
        "cpus": format_cpus(spec.resources.cpus),
        "memory": "no limit" if spec.resources.memory is None else format_memory(spec.resources.memory),
        "memory-growth": _growth_text(spec),
        "gpus": str(spec.resources.gpus),
        "time": "no limit" if spec.time_limit is None else format_duration(spec.time_limit),
        "image": spec.image or "none",
        "profile": spec.profile or "none",
        "queue": spec.queue or "none",
    }


def _rows(
    plan: Plan, spec: Spec, session: dict[str, str], filled_in: dict[str, str]
) -> list[tuple[str, str, str]]:
    asked = plan.settings
    origin = {"command": "command line", "root": "here", "directory": "here"} | filled_in | asked.origins
    mounts = [(name, path) for name, _, path in (mount.partition(":") for mount in spec.mounts)]
    facts = {key: value for key, value in _facts(spec).items() if value != "none"}
    values = {
        "command": shlex.join(spec.command),
        "root": str(plan.root),
        "directory": spec.directory,
        "name": spec.name,
        "on": spec.cluster,
        **facts,
        "grace": format_duration(spec.grace),
        **({"warn": str(spec.warn)} if spec.warn else {}),
        "array": f"{spec.array} ({number_of(len(spec.array), 'task')})" if spec.is_array else "none",
        **_parameters(plan, spec),
        **({"results": spec.results} if spec.results else {}),
        **({"max-running": str(spec.max_running)} if spec.max_running else {}),
        **({"fail-fast": str(spec.fail_fast)} if spec.fail_fast else {}),
        **({"keep-going": "yes"} if spec.keep_going else {}),
        "retries": str(spec.retries),
        **({"test-preemption": format_duration(spec.test_preemption)} if spec.test_preemption else {}),
        "stdin": asked.stdin or "empty",
        "size-limit": format_size(asked.size_limit),
    }
    if plan.variation:
        origin |= _origins(plan.variation, asked.origins)
    rows = [(what, value, origin.get(what, DEFAULT)) for what, value in values.items()]
    rows += [
        (f"mount {name}", path or "its own path", origin.get(f"mount.{name}", DEFAULT))
        for name, path in mounts
    ]
    for name, value in spec.env.items():
        where = asked.origins.get(f"env.{name}") or ("this session" if name in session else DEFAULT)
        rows.append((f"env {name}", _cut(value), where))
    return rows


def _growth_text(spec: Spec) -> str:
    """How much a task gets that ran out of memory: ``1.5 times, up to 8 GiB``."""
    if spec.resources.memory is None:
        return "none"
    if not can_grow(spec):
        return "never" if spec.memory_growth == 1 else "there is no more"
    return f"{spec.memory_growth:g} times, up to {format_memory(sizes_of(spec)[-1])}"


def _parameters(plan: Plan, spec: Spec) -> dict[str, str]:
    """What each parameter is, and how a task gets to know it."""
    if plan.variation is None or spec.parameters is None:
        return {}
    names = spec.parameters.names
    values = {f"parameter {axis.name}": axis_text(axis) for axis in spec.parameters.grid}
    if table := spec.parameters.table:
        values = {f"parameter {name}": f"of {number_of(table.rows, 'row')}" for name in names}
    if files := plan.variation.files:
        values = {f"parameter {names[0]}": f"{files[0][0]} and {number_of(len(files) - 1, 'other')}"}
    words = " ".join(f"--{name} VALUE" for name in names)
    added = "the file" if plan.variation.files else words
    how = "as {name} or OFFLOAD_PARAM_NAME, as the command says"
    return {**values, "passed": f"{added}, after the command" if spec.parameters.appended else how}


def _origins(variation: Variation, origins: Mapping[str, str]) -> dict[str, str]:
    names = variation.parameters.names
    found = {f"parameter {name}": origins.get(f"grid.{name}") for name in names}
    source = origins.get(variation.source, COMMAND_LINE)
    return {**{what: origin or source for what, origin in found.items()}, "array": "parameters"}


def axis_text(axis: Axis) -> str:
    """An axis as it could be written."""
    ranges = [f"{first}:{last}" + (f":{step}" if step != 1 else "") for first, last, step in axis.ranges]
    return f"{_cut(','.join(axis.values or ranges))} ({number_of(len(axis), 'value')})"


def _cut(value: str) -> str:
    """A variable such as PATH would push everything else off the terminal; ``--json`` has all of it."""
    return shortened(value, _LONGEST)
