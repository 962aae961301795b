"""The clusters: where jobs can run, how that is configured, and what keeps it from working."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from offload.errors import UsageError
from offload.launcher.clusters import ClusterSettings
from offload.model.diagnosis import Diagnosis
from offload.server.access import Here, router_for_people
from offload.server.api.parameters import Choice
from offload.server.problems import problems
from offload.server.settings import cluster_mistake
from offload.wire.api import ClusterView

router = router_for_people("clusters", "/clusters")
_CHANGE: Final[dict[str, Any]] = {
    "backend": "kubernetes",
    "settings": {"context": "my-eks", "namespace": "analytics"},
}
_CHANGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "It was there, and has these settings now.", "model": ClusterView}
}
Name = Annotated[
    str, Path(max_length=200, pattern=r"^[^\x00]*$", description="Name of a cluster.", examples=["eks"])
]
Replace = Annotated[Choice, Query(description="Even if there is one of this name with other settings.")]
Force = Annotated[Choice, Query(description="Even while jobs there are unfinished.")]


class ClusterBody(BaseModel):
    """A cluster as it stands in `config.toml`."""

    model_config = ConfigDict(
        extra="forbid", title="ClusterChange", json_schema_extra={"examples": [_CHANGE]}
    )

    backend: str = Field(min_length=1, max_length=200, description="`local`, `kubernetes`, …")
    settings: dict[str, Any] = Field(default={}, description="The backend's own settings.")

    def value(self, name: str) -> ClusterSettings:
        """The settings; raises ``UsageError`` when nothing can be called so."""
        if wrong := cluster_mistake(name, {"backend": self.backend, **self.settings}):
            raise UsageError(f"{wrong[0].upper()}{wrong[1:]}")
        if "backend" in self.settings:
            raise UsageError("The backend is named beside the settings, not among them.")
        return ClusterSettings(name=name, backend=self.backend, settings=self.settings)


@router.get("", responses=problems(), summary="List where jobs can run")
async def clusters(launcher: Here) -> tuple[ClusterView, ...]:
    """Each cluster with how it is, at most a few seconds ago."""
    return await launcher.clusters.views()


@router.get("/{name}", responses=problems(), summary="Look at a cluster")
async def cluster(name: Name, launcher: Here) -> ClusterView:
    """How it is, at most a few seconds ago, and what it offers."""
    return await launcher.clusters.view(name)


@router.put(
    "/{name}", status_code=201, responses=problems(409, 503) | _CHANGED, summary="Add or change a cluster"
)
async def put_cluster(
    name: Name, body: ClusterBody, launcher: Here, response: Response, *, replace: Replace = False
) -> ClusterView:
    """It is checked by its backend, kept in `config.toml`, and takes jobs at once."""
    new = await launcher.changes.put(body.value(name), replace=replace)
    response.status_code = 201 if new else 200
    return await launcher.clusters.view(name)


@router.delete("/{name}", status_code=204, responses=problems(409), summary="Remove a cluster")
async def delete_cluster(name: Name, launcher: Here, *, force: Force = False) -> None:
    """Takes it out of `config.toml`. With `force` its jobs wait until it is added again."""
    await launcher.changes.remove(name, force=force)


@router.get("/{name}/diagnosis", responses=problems(), summary="Look closely at a cluster")
async def diagnosis(name: Name, launcher: Here) -> Diagnosis:
    """Everything that jobs there will need, found or missing; takes up to a minute."""
    return await launcher.clusters.get(name).diagnose()
