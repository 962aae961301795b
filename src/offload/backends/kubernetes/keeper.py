"""Keeps what is wanted of each pool true: makes, resizes and removes its Jobs and its Secret.

Only one change of a pool is under way at a time. It is planned from the picture, where there is one, and
guarded by the version that was read; when somebody was faster, it is planned anew from what the API server
says. The Secret comes first and the Job after it, so that no pod waits for its token; the Secret gets the Job
as its owner last, so that nothing of it stays whoever deletes the Job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offload.backends.contract import Pool
from offload.backends.kubernetes.answers import decoded
from offload.backends.kubernetes.api_errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.job import build_job, build_secret
from offload.backends.kubernetes.names import is_job_of, is_pod_of, job_name, secret_name, selector
from offload.backends.kubernetes.objects import Job, Pod
from offload.backends.kubernetes.picture import Picture
from offload.backends.kubernetes.scaling import Create, Resize, is_open, newest, plan_scale
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.backends.kubernetes.why import explain_denial
from offload.errors import OffloadError, RefusedError
from offload.model.ids import PoolId

_log = logging.getLogger(__name__)
_TRIES: Final = 5
"""How often a change is planned anew because somebody else was faster."""
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until what couldn't be kept true by itself is tried again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """So many runners of this pool."""

    pool: Pool
    runners: int


class Keeper:
    """The wishes of one cluster.

    Args:
        client: speaks to the API server.
        settings: of the cluster.
        launcher: this launcher's identity.
        picture: gives the present picture, or None while there is none.
    """

    def __init__(
        self,
        client: Client,
        settings: KubernetesSettings,
        *,
        launcher: str,
        picture: Callable[[], Picture | None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._launcher = launcher
        self._picture = picture
        self._wishes: dict[PoolId, Wish] = {}
        self._locks: dict[PoolId, asyncio.Lock] = {}
        self._tending: dict[PoolId, asyncio.Task[None]] = {}
        self._changed: set[PoolId] = set()

    async def want(self, pool: Pool, runners: int) -> None:
        """Make so many runners the wish, and what follows from it true.

        Raises:
            KubernetesError: the API server can't be reached, or says no.
        """
        self._wishes[pool.id] = Wish(pool, runners)
        await self._fulfil(pool.id)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants any pool."""
        return bool(self._wishes)

    def tend(self, pools: Iterable[PoolId]) -> None:
        """Something about these pools has changed: look in the background whether the wish still holds."""
        for pool in pools:
            if pool not in self._wishes:
                continue
            self._changed.add(pool)
            if pool not in self._tending:
                self._tending[pool] = asyncio.create_task(self._tend(pool), name=f"tend {pool}")

    async def release(self, pool: PoolId) -> None:
        """Delete all that was made for a pool; pods end by themselves after that."""
        self._wishes.pop(pool, None)
        if task := self._tending.pop(pool, None):
            task.cancel()
        async with self._lock(pool):
            for job in await self._list_jobs(pool):
                await self._client.delete(self._job(job.metadata.name), uid=job.metadata.uid)
            await self._client.delete(f"{self._core}/secrets/{secret_name(pool)}")
        self._locks.pop(pool, None)

    async def anything_left(self, pool: PoolId) -> bool:
        """Whether there is any pod of a pool."""
        return bool(await self._list_pods(pool))

    async def drop_pods(self, pool: PoolId) -> None:
        """Delete a released pool's pods without waiting for their nodes."""
        for pod in await self._list_pods(pool):
            await self._client.delete(f"{self._core}/pods/{pod.metadata.name}", uid=pod.metadata.uid, grace=0)

    async def aclose(self) -> None:
        """Leave everything as it is."""
        tasks = list(self._tending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tend(self, pool: PoolId) -> None:
        """Until the wish is fulfilled, also when it was disturbed again meanwhile."""
        pauses, told = iter(_PAUSES), ""
        try:
            while pool in self._changed:
                self._changed.discard(pool)
                try:
                    await self._fulfil(pool)
                except RefusedError as error:
                    if (picture := self._picture()) is not None:
                        picture.refuse(pool, error.sentence, error.words)
                except OffloadError as error:
                    if error.sentence != told:
                        _log.warning("Pool %s: %s", pool, error.sentence, extra=_about("tend", pool))
                    told = error.sentence
                    self._changed.add(pool)
                    await asyncio.sleep(next(pauses, _PAUSES[-1]))
        finally:
            self._changed.discard(pool)
            self._tending.pop(pool, None)

    async def _fulfil(self, pool: PoolId) -> None:
        async with self._lock(pool):
            for attempt in range(_TRIES):
                wish = self._wishes.get(pool)
                if wish is None:
                    return
                jobs, pods = await self._known(pool, fresh=attempt > 0)
                try:
                    await self._change(wish, jobs, pods)
                except (ConflictError, NotFoundError) as error:
                    if attempt == _TRIES - 1:
                        raise
                    _log.info("Pool %s: %s", pool, error.sentence, extra=_about("again", pool))
                else:
                    return

    async def _change(self, wish: Wish, jobs: Sequence[Job], pods: Sequence[Pod]) -> None:
        change = plan_scale(jobs, pods, wish.runners, self._client.now())
        if isinstance(change, Create):
            await self._create(wish.pool, change)
        elif isinstance(change, Resize):
            await self._resize(change)
        elif (picture := self._picture()) is not None and picture.lacks_secret(wish.pool.id):
            await self._put_secret(wish.pool, newest(job for job in jobs if is_open(job)))

    async def _create(self, pool: Pool, change: Create) -> None:
        await self._put_secret(pool, None)
        path = self._job(job_name(pool.id, change.generation))
        body = build_job(
            pool,
            self._settings,
            launcher=self._launcher,
            generation=change.generation,
            runners=change.runners,
        )
        made = await self._apply_job(path, body)
        await self._put_secret(pool, made)
        if (picture := self._picture()) is not None:
            picture.see_job(made, deleted=False)

    async def _put_secret(self, pool: Pool, owner: Job | None) -> None:
        whose = (owner.metadata.name, owner.metadata.uid) if owner else None
        body = build_secret(pool, self._settings, launcher=self._launcher, owner=whose)
        path = f"{self._core}/secrets/{secret_name(pool.id)}"
        try:
            await self._client.apply(path, body)
        except InvalidError:
            # Runners reach this launcher in another way since it was made, and it can't be changed.
            await self._client.delete(path)
            await self._client.apply(path, body)

    async def _apply_job(self, path: str, body: Mapping[str, Any]) -> Job:
        try:
            made: Job = decoded(await self._client.apply(path, body), Job, f"create {path}")
        except (ForbiddenError, InvalidError) as error:
            verdict = explain_denial(error.message)
            if verdict.final:
                raise RefusedError(verdict.reason.sentence, words=error.message) from error
            raise
        return made

    async def _resize(self, change: Resize) -> None:
        meta = change.job.metadata
        patch = {
            "metadata": {"resourceVersion": meta.resource_version},
            "spec": {"parallelism": change.runners},
        }
        made: Job = decoded(await self._client.merge(self._job(meta.name), patch), Job, f"resize {meta.name}")
        if (picture := self._picture()) is not None and is_open(made):
            picture.see_job(made, deleted=False)

    async def _known(self, pool: PoolId, *, fresh: bool) -> tuple[list[Job], list[Pod]]:
        picture = self._picture()
        if picture is not None and not fresh:
            return picture.jobs_of(pool), picture.pods_of(pool)
        return await self._list_jobs(pool), await self._list_pods(pool)

    async def _list_jobs(self, pool: PoolId) -> list[Job]:
        found, _ = await self._client.list(self._jobs, Job, labels=selector(self._launcher, pool))
        return [job for job in found if is_job_of(pool, job.metadata.name)]

    async def _list_pods(self, pool: PoolId) -> list[Pod]:
        found, _ = await self._client.list(f"{self._core}/pods", Pod, labels=selector(self._launcher, pool))
        return [pod for pod in found if is_pod_of(pool, pod.metadata.name)]

    @property
    def _core(self) -> str:
        return f"/api/v1/namespaces/{self._settings.namespace}"

    @property
    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self._settings.namespace}/jobs"

    def _job(self, name: str) -> str:
        return f"{self._jobs}/{name}"

    def _lock(self, pool: PoolId) -> asyncio.Lock:
        return self._locks.setdefault(pool, asyncio.Lock())


def _about(action: str, pool: PoolId) -> dict[str, str]:
    return {"action": action, "pool": pool}
