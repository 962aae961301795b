"""``offload clusters``: where jobs can run, and how such a place is added, looked at and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from offload.cli.command import Command, Group
from offload.cli.settings_words import kubeconfig_of, read_words
from offload.cli.shared import connect, json_option, print_json
from offload.cli.text import indented, number_of, resources_text, table
from offload.model.diagnosis import Diagnosis, Finding
from offload.wire.api import ClusterChange, ClusterView

PROBLEM = 1
"""Exit status of a check that found something that doesn't work."""
_MARKS = {True: "ok", False: "PROBLEM", None: "?"}


class _Clusters(Group):
    """Takes a cluster's name for ``show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words name, else ``show`` of the cluster that they name."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            return "show", self.commands["show"], args
        return super().resolve_command(ctx, args)


@click.group(
    "clusters",
    cls=_Clusters,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGUMENTS]...",
    examples=(
        "offload clusters",
        "offload clusters eks                    all about one: profiles, mounts, images, limits",
        "offload clusters add eks --context my-eks --namespace analytics",
        "offload clusters check eks",
        "offload run --on eks fit.R",
    ),
)
@json_option("[ClusterView…]")
@click.pass_context
def clusters_command(ctx: click.Context, *, as_json: bool) -> None:
    """List the clusters, what fits there and how limits are kept."""
    if ctx.invoked_subcommand is not None:
        return
    with connect() as api:
        clusters = api.clusters()
    if as_json:
        print_json(clusters)
        return
    click.echo(table(("name", "backend", "state", "fits", "free"), [_row(cluster) for cluster in clusters]))
    for cluster in clusters:
        if cluster.problem:
            click.echo(f"\n{cluster.name}: {cluster.problem}")
        if cluster.enforces:
            click.echo(f"\nHow limits are kept on {cluster.name}:")
            click.echo(table(("limit", "by"), sorted(cluster.enforces.items()), indent="  "))


def _row(cluster: ClusterView) -> tuple[str, ...]:
    return (
        cluster.name,
        cluster.backend,
        "available" if cluster.available else "unavailable",
        resources_text(cluster.capacity) if cluster.capacity else "unknown",
        resources_text(cluster.free) if cluster.free else "unknown",
    )


@clusters_command.command("show", cls=Command, examples=("offload clusters show eks", "offload clusters eks"))
@click.argument("name", metavar="NAME")
@json_option("ClusterView")
def show(*, name: str, as_json: bool) -> None:
    """Show one cluster: its profiles, mounts and images, what fits, how limits are kept."""
    with connect() as api:
        cluster = api.cluster(name)
    if as_json:
        print_json(cluster)
        return
    _, backend, state, fits, free = _row(cluster)
    click.echo(f"{name}  {backend}  {state}")
    if cluster.problem:
        click.echo(indented(cluster.problem))
    click.echo(f"  fits  {fits}\n  free  {free}")
    for title, headers, entries in (
        ("Profiles, for --profile", ("name", "is"), cluster.profiles),
        ("Mounts, for --mount", ("name", "is"), cluster.mounts),
        ("Images", ("of", "is"), cluster.images),
        ("How limits are kept", ("limit", "by"), cluster.enforces),
    ):
        if entries:
            click.echo(f"\n{title}:\n{table(headers, sorted(entries.items()), indent='  ')}")


@clusters_command.command(
    "add",
    cls=Command,
    examples=(
        "offload clusters add eks --context my-eks --namespace analytics",
        "offload clusters add eks --replace --context my-eks --namespace analytics --set queue='\"night\"'",
        "offload clusters add small --backend local --set cpus=2 --set memory='\"4Gi\"'",
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--backend", metavar="NAME", default="kubernetes", show_default=True, help="What it is.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option("--namespace", metavar="NAME", help="Namespace that you have rights in.")
@click.option(
    "--kubeconfig", metavar="FILE", help="The kubeconfig.  [default: $KUBECONFIG or ~/.kube/config]"
)
@click.option(
    "--callback",
    metavar="URL",
    help="Where pods reach this launcher: http://HOST:PORT; else through a gateway.",
)
@click.option("--runner-image", metavar="IMAGE", help="Image of the runner.")
@click.option(
    "--set",
    "words",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting, as in config.toml: 'images.R=\"rocker/r-ver:4.4\"'. May be repeated.",
)
@click.option(
    "--replace", is_flag=True, help="Give a cluster of this name these settings instead of its own."
)
@json_option("ClusterView")
def add(
    *, name: str, backend: str, words: tuple[str, ...], replace: bool, as_json: bool, **given: Any
) -> None:
    """Add a cluster, without a restart; it is kept in the launcher's config.toml.

    Its settings are checked first; nothing is kept if they aren't valid. Jobs that were sent to a cluster of
    this name before go on.
    """
    with connect() as api:
        if backend == "kubernetes" and api.endpoint.places is not None:
            given["kubeconfig"] = kubeconfig_of(given["kubeconfig"])
        settings = read_words(given, words)
        cluster = api.put_cluster(name, ClusterChange(backend=backend, settings=settings), replace=replace)
    if as_json:
        print_json(cluster)
        return
    click.echo(f"{name} is configured.")
    if cluster.problem:
        click.echo(indented(cluster.problem))
    click.echo(f"See whether all of it works: offload clusters check {name}")


@clusters_command.command(
    "check",
    cls=Command,
    examples=(
        "offload clusters check eks",
        "offload clusters check eks --yaml > request.yaml     what to ask the administrator for",
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--yaml", "as_request", is_flag=True, help="Print only what the administrator has to apply.")
@json_option('{"findings": [{"about", "works": bool or null, "sentence", "next_step"}…], "request": text}')
def check(*, name: str, as_request: bool, as_json: bool) -> int:
    """Look closely at a cluster: what works, what doesn't, and what to ask its administrator for.

    Exit status: 0 if nothing keeps jobs from running there, 1 if something does.
    """
    with connect() as api:
        diagnosis = api.diagnosis(name)
    problems = [finding for finding in diagnosis.findings if finding.works is False]
    if as_json:
        print_json(diagnosis)
    elif as_request:
        click.echo(diagnosis.request, nl=False)
        if not diagnosis.request:
            _nothing_to_ask(problems)
    else:
        _show(name, diagnosis, len(problems))
    return PROBLEM if problems else 0


def _nothing_to_ask(problems: Sequence[Finding]) -> None:
    """Say on stderr why there is no request."""
    if not problems:
        click.echo("offload: nothing has to be asked for; all rights are there", err=True)
    for problem in problems:
        click.echo(f"offload: {problem.about}: {problem.sentence} {problem.next_step}".rstrip(), err=True)


def _show(name: str, diagnosis: Diagnosis, problems: int) -> None:
    for finding in diagnosis.findings:
        click.echo(_finding(finding, max(len(one.about) for one in diagnosis.findings)))
    looked = number_of(len(diagnosis.findings), "thing")
    told = f"{number_of(problems, 'problem')} found" if problems else "all is fine"
    click.echo(f"\n{name}: {looked} looked at, {told}.")
    if diagnosis.request:
        click.echo(f"\nWhat to send to its administrator (alone: offload clusters check {name} --yaml):\n")
        click.echo(diagnosis.request)


def _finding(finding: Finding, width: int) -> str:
    mark = _MARKS[finding.works]
    text = f"{mark:<7}  {finding.about:<{width}}  {finding.sentence}"
    return f"{text}\n{indented(finding.next_step, 11 + width)}" if finding.next_step else text


@clusters_command.command("remove", cls=Command, examples=("offload clusters remove eks",))
@click.argument("name", metavar="NAME")
@click.option(
    "--force", is_flag=True, help="Also while jobs there are unfinished; they wait until it is added."
)
def remove(*, name: str, force: bool) -> None:
    """Remove a cluster; refused while jobs there are unfinished, unless forced.

    Only Offload's settings of it are removed. With --force what runs there goes on, and jobs that wait do
    so until a cluster of this name is added again.
    """
    with connect() as api:
        api.cluster(name)
        api.remove_cluster(name, force=force)
    click.echo(f"{name} is removed.")
