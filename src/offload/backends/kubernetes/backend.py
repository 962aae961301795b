"""Pools as Jobs in one namespace of a Kubernetes cluster.

What is wanted of a pool is a wish; the Job controller keeps the runners of a Job alive, and what it can't do
(a Job closes when one of its runners ends in order, somebody deletes a Job) is done here whenever the picture
of the namespace shows it. Writes are guarded by what was read, or can be repeated: a launcher that dies
between two of them does the same again, under the same names.

The picture comes from three informers that run as long as somebody watches. Without it, it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from offload.backends.contract import BackendContext, Capabilities, Diagnosis, Health, Pool
from offload.backends.kubernetes.admission import admit, capabilities
from offload.backends.kubernetes.api_errors import KubernetesError
from offload.backends.kubernetes.callback import GATEWAY, Callback, Direct
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.diagnosis import diagnose
from offload.backends.kubernetes.feed import Feed, News
from offload.backends.kubernetes.gateway.gateway import Gateway
from offload.backends.kubernetes.keeper import Keeper
from offload.backends.kubernetes.last_words import with_last_words
from offload.backends.kubernetes.picture import Picture
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.model.ids import PoolId
from offload.model.observation import Observation, Synced
from offload.model.spec import Spec

LOOK_AGAIN: Final = 5.0
"""Seconds after which what waits is judged anew, whatever else is heard."""
_GONE: Final = 90.0
"""Seconds that a released pool's pods get to disappear: their own grace comes first."""
_DROPPED: Final = 20.0
"""Seconds that it takes the API server to forget a pod that isn't waited for any more."""


class KubernetesBackend:
    """One namespace of one cluster.

    Args:
        settings: of the cluster.
        client: speaks to its API server.
        launcher: this launcher's identity, on every object that is made.
        context: where notes are kept, and how runners reach the launcher.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        client: Client,
        *,
        launcher: str,
        context: BackendContext,
    ) -> None:
        self.capabilities: Capabilities = capabilities(settings)
        self._settings = settings
        self._client = client
        self._launcher = launcher
        self._picture: Picture | None = None
        self._feed: Feed | None = None
        self._looked = 0.0
        self._changed = asyncio.Condition()
        self._keeper = Keeper(client, settings, launcher=launcher, picture=lambda: self._picture)
        self._callback = self._way(context)

    def _way(self, context: BackendContext) -> Callback:
        if self._settings.callback != GATEWAY:
            return Direct(self._settings.callback, context.listening)
        return Gateway(
            self._client,
            self._settings,
            launcher=self._launcher,
            directory=context.directory,
            endpoint=context.endpoint,
            needed=lambda: self._keeper.is_wanted,
        )

    def admit(self, spec: Spec, user: str) -> Spec:
        """The spec with resources, image and queue as the settings say."""
        return admit(self._settings, spec, user)

    async def scale(self, pool: Pool, runners: int) -> None:
        """Record the wish, and make what is missing; a runner that has begun is never ended."""
        reached = await self._callback.reach(pool)
        await self._keeper.want(reached, min(runners, self._settings.max_runners))

    async def release(self, pool: PoolId) -> None:
        """Delete the pool's Jobs and its Secret; returns when none of its pods is left."""
        await self._keeper.release(pool)
        try:
            async with asyncio.timeout(_GONE):
                await self._without_pods(pool)
        except TimeoutError:
            # Their node doesn't say that they have ended; it may never again.
            await self._keeper.drop_pods(pool)
            async with asyncio.timeout(_DROPPED):
                await self._without_pods(pool)

    async def _without_pods(self, pool: PoolId) -> None:
        if self._picture is None:
            while await self._keeper.anything_left(pool):  # noqa: ASYNC110  nobody watches, so nobody tells
                await asyncio.sleep(0.5)
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._picture is None or not self._picture.pods_of(pool))

    async def watch(self) -> AsyncIterator[Observation | Synced]:
        """Everything that is, then :class:`Synced`, then every change."""
        picture = Picture()
        feed = self._feed = Feed(self._client, self._settings.namespace, self._launcher)
        feed.start()
        self._callback.resume()
        try:
            while not feed.complete:
                self._take(picture, await feed.news(None))
            self._picture = picture
            for seen in picture.changes(self._client.now()):
                yield await with_last_words(self._client, self._settings.namespace, seen)
            yield Synced()
            while True:
                await self._heard(picture, await feed.news(LOOK_AGAIN))
                for seen in picture.changes(self._client.now()):
                    yield await with_last_words(self._client, self._settings.namespace, seen)
        finally:
            self._picture = self._feed = None
            await feed.stop()
            async with self._changed:
                self._changed.notify_all()

    async def _heard(self, picture: Picture, news: list[News]) -> None:
        touched = self._take(picture, news)
        now = asyncio.get_running_loop().time()
        if now >= self._looked + LOOK_AGAIN:
            self._looked = now
            picture.look_again()
            touched |= picture.overdue(self._client.now())
        async with self._changed:
            self._changed.notify_all()
        self._keeper.tend(touched)

    @staticmethod
    def _take(picture: Picture, news: list[News]) -> set[PoolId]:
        pools = (one.into(picture) for one in news)
        return {pool for pool in pools if pool is not None}

    async def check(self) -> Health:
        """Whether the API server answers, and whether the watch does."""
        try:
            await self._client.version()
        except KubernetesError as error:
            return Health(available=False, problem=f"{error.sentence.rstrip('.')}. {error.next_step}".strip())
        problem = (self._feed.problem if self._feed else "") or self._callback.problem
        return Health(available=not problem, problem=problem)

    async def diagnose(self) -> Diagnosis:
        """Look at everything that jobs will need."""
        return await diagnose(self._client, self._settings, launcher=self._launcher, callback=self._callback)

    async def aclose(self) -> None:
        """Close connections; runners go on."""
        await self._callback.aclose()
        await self._keeper.aclose()
        await self._client.aclose()
