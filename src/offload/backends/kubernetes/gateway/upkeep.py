"""Makes what a gateway needs, mends it, and takes it away. Every step may be repeated."""

from __future__ import annotations

import asyncio
from typing import Final

from offload.backends.kubernetes.answers import decoded
from offload.backends.kubernetes.api_errors import ConflictError, InvalidError
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.gateway.objects import (
    build_job,
    build_policy,
    build_service,
    selector,
    service_name,
)
from offload.backends.kubernetes.objects import Job, Pod, Service
from offload.backends.kubernetes.scaling import is_open
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.errors import ClusterError

_LOOK: Final = 0.4
_PATIENCE: Final = 60.0
"""Seconds after which a gateway without a pod that works is made anew."""


class Upkeep:
    """The gateway of one launcher in one namespace.

    Args:
        client: speaks to the API server.
        settings: of the cluster.
        launcher: this launcher's identity.
        proof: digest of the secret that the launcher shows.
    """

    def __init__(self, client: Client, settings: KubernetesSettings, *, launcher: str, proof: str) -> None:
        self._client = client
        self._settings = settings
        self._launcher = launcher
        self._wanted = build_job(settings, launcher, proof)
        self._core = f"/api/v1/namespaces/{settings.namespace}"
        self._jobs = f"/apis/batch/v1/namespaces/{settings.namespace}/jobs"
        self._job = f"{self._jobs}/{self._wanted['metadata']['name']}"
        name = service_name(launcher)
        self._service = f"{self._core}/services/{name}"
        networking = f"/apis/networking.k8s.io/v1/namespaces/{settings.namespace}"
        self._policy = f"{networking}/networkpolicies/{name}"

    async def make(self, address: str) -> str:
        """Make what is missing; the cluster IP at which runners reach it.

        Args:
            address: the cluster IP that it had before, or empty.

        Raises:
            KubernetesError: the API server can't be reached, or says no.
        """
        job = await self._open_job()
        owner = (job.metadata.name, job.metadata.uid)
        service = await self._apply_service(owner, address)
        await self._client.apply(self._policy, build_policy(self._settings, self._launcher, owner))
        return service.spec.cluster_ip

    async def ready_pod(self) -> str:
        """The path of the pod, once it runs.

        Raises:
            KubernetesError: the API server can't be reached, or says no.
            ClusterError: there is none within a minute.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while True:
            pods = await self._pods()
            if ready := _newest_ready(pods):
                return f"{self._core}/pods/{ready.metadata.name}"
            if loop.time() > until:
                break
            await asyncio.sleep(_LOOK)
        if not any(pod.status.phase == "Pending" for pod in pods):
            # The Job controller waits longer and longer between pods that fail.
            await self._client.delete(self._job)
        raise ClusterError(f"The gateway isn't running yet: {_words(pods)}")

    async def tidy(self) -> None:
        """Remove the gateways of other versions, or of other settings."""
        await self._delete_jobs(but=self._wanted["metadata"]["name"])

    async def remove(self) -> None:
        """Take all of it away."""
        await self._delete_jobs()
        await self._client.delete(self._service)
        await self._client.delete(self._policy)

    async def _open_job(self) -> Job:
        job: Job = decoded(await self._client.apply(self._job, self._wanted), Job, "make the gateway")
        if not is_open(job):
            # It ended by itself, for want of work. Its pod would never come back.
            await self._client.delete(self._job, uid=job.metadata.uid)
            raise ConflictError("make the gateway, whose predecessor is still being removed")
        return job

    async def _apply_service(self, owner: tuple[str, str], address: str) -> Service:
        try:
            return await self._apply_service_at(owner, address)
        except InvalidError:
            if not address:
                raise
            # Somebody else has the address by now, or the Service that is there has another one.
            return await self._apply_service_at(owner, "")

    async def _apply_service_at(self, owner: tuple[str, str], address: str) -> Service:
        body = build_service(self._settings, self._launcher, owner, address)
        made: Service = decoded(await self._client.apply(self._service, body), Service, "make the gateway")
        return made

    async def _pods(self) -> list[Pod]:
        found, _ = await self._client.list(f"{self._core}/pods", Pod, labels=selector(self._launcher))
        return found

    async def _delete_jobs(self, *, but: str = "") -> None:
        found, _ = await self._client.list(self._jobs, Job, labels=selector(self._launcher))
        for job in found:
            if job.metadata.name != but:
                await self._client.delete(f"{self._jobs}/{job.metadata.name}", uid=job.metadata.uid)


def _newest_ready(pods: list[Pod]) -> Pod | None:
    ready = [pod for pod in pods if _is_ready(pod)]
    return max(ready, key=lambda pod: str(pod.metadata.creation_timestamp), default=None)


def _is_ready(pod: Pod) -> bool:
    if pod.metadata.deletion_timestamp is not None or pod.status.phase != "Running":
        return False
    return any(one.state.running is not None for one in pod.status.container_statuses)


def _words(pods: list[Pod]) -> str:
    """What Kubernetes says of the newest pod."""
    for pod in reversed(pods):
        for one in pod.status.container_statuses:
            state = one.state.waiting or one.state.terminated
            if state is not None and (state.message or state.reason):
                return state.message or state.reason
        for condition in pod.status.conditions:
            if condition.status == "False" and condition.message:
                return condition.message
    return "there is no pod."
