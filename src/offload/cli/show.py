"""``offload run --show``: the final spec, and where each of its values came from."""

from __future__ import annotations

import os
import shlex
from typing import Any, Final

import click

from offload.cli.shared import print_json
from offload.cli.text import number_of, size, table
from offload.client.api import Api
from offload.client.plan import Plan, choose_cluster, make_spec, session_env
from offload.client.settings import DEFAULT
from offload.model.resources import format_cpus, format_duration, format_memory
from offload.model.spec import Spec
from offload.wire.codec import to_builtins

_LONGEST: Final = 40
"""Characters of a variable's value, at most."""


def show_plan(api: Api, plan: Plan, *, as_json: bool) -> None:
    """Print the spec; nothing is sent, so its snapshot is empty."""
    cluster = choose_cluster(api.clusters(), plan.settings.on)
    spec = make_spec(plan, cluster, snapshot="")
    session = session_env(cluster, os.environ)
    if as_json:
        origins: dict[str, Any] = {**plan.settings.origins}
        print_json({"spec": to_builtins(spec), "root": str(plan.root), "origins": origins})
    else:
        click.echo(table(("what", "value", "from"), _rows(plan, spec, session)))


def _rows(plan: Plan, spec: Spec, session: dict[str, str]) -> list[tuple[str, str, str]]:
    asked = plan.settings
    origin = {"command": "command line", "root": "here", "directory": "here"} | asked.origins
    values = {
        "command": shlex.join(spec.command),
        "root": str(plan.root),
        "directory": spec.directory,
        "name": spec.name,
        "on": spec.cluster,
        "cpus": format_cpus(spec.resources.cpus),
        "memory": "no limit" if spec.resources.memory is None else format_memory(spec.resources.memory),
        "gpus": str(spec.resources.gpus),
        "time": "no limit" if spec.time_limit is None else format_duration(spec.time_limit),
        "grace": format_duration(spec.grace),
        "array": f"{spec.array} ({number_of(len(spec.array), 'task')})" if spec.is_array else "none",
        "retries": str(spec.retries),
        "stdin": asked.stdin or "empty",
        "size-limit": size(asked.size_limit),
    }
    rows = [(what, value, origin.get(what, DEFAULT)) for what, value in values.items()]
    for name, value in spec.env.items():
        where = asked.origins.get(f"env.{name}") or ("this session" if name in session else DEFAULT)
        rows.append((f"env {name}", _cut(value), where))
    return rows


def _cut(value: str) -> str:
    """A variable such as PATH would push everything else off the terminal; ``--json`` has all of it."""
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
