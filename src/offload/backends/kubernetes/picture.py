"""What is known of this launcher's objects in a namespace, and which observations follow from it.

Three streams fill it: Jobs, pods and events. Kubernetes forgets events after an hour and tells them apart
from their objects, in any order; here they are kept beside the object that they are about, as long as that
lives. An observation is told once, and again when it is another one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from typing import Final, TypeVar

from offload.backends.kubernetes.names import POOL, PREFIX, is_job_of, is_pod_of, secret_name
from offload.backends.kubernetes.objects import Event, Job, Pod
from offload.backends.kubernetes.scaling import has_begun, is_alive, is_overdue
from offload.backends.kubernetes.why import gone, observe, observe_job
from offload.model.ids import PoolId
from offload.model.observation import Observation, Phase
from offload.model.reasons import Reason, ReasonCode

MAX_EVENTS: Final = 40
"""Events kept per object: the same one comes again and again with a higher count, under the same name."""
_STRAY: Final = 2000
"""Objects whose events are kept although the object wasn't seen yet."""

_T = TypeVar("_T", Pod, Job)
Key = tuple[PoolId, str]
"""A pool and the name of one of its pods; the empty name is the pool as a whole."""


class Picture:
    """The present state, as far as it was heard of.

    Attributes:
        jobs: by name.
        pods: by name.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.pods: dict[str, Pod] = {}
        self._pods_of: dict[PoolId, set[str]] = {}
        self._jobs_of: dict[PoolId, set[str]] = {}
        self._events: OrderedDict[str, dict[str, Event]] = OrderedDict()
        self._due: dict[Key, Observation | None] = {}
        self._told: dict[Key, Observation] = {}

    # --- news ---------------------------------------------------------------------------------------

    def see_job(self, job: Job, *, deleted: bool) -> PoolId | None:
        """Take in a Job; whose it is."""
        pool = _pool(job)
        if pool is not None:
            _keep(self.jobs, self._jobs_of, pool, job, deleted=deleted)
            self._due[pool, ""] = None
            if deleted:
                self._forget_events(job)
        return pool

    def see_pod(self, pod: Pod, *, deleted: bool) -> PoolId | None:
        """Take in a pod; whose it is."""
        pool = _pool(pod)
        if pool is None:
            return None
        name = pod.metadata.name
        self._due[pool, name] = gone(pod, self._of(pod)) if deleted else None
        self._due[pool, ""] = None
        _keep(self.pods, self._pods_of, pool, pod, deleted=deleted)
        if deleted:
            self._forget_events(pod)
        return pool

    def see_event(self, event: Event, *, deleted: bool) -> PoolId | None:
        """Take in an event about a pod or a Job of ours, and whose it is; one that is forgotten is kept."""
        about = event.involved_object
        if deleted or not about.name.startswith(PREFIX) or about.kind not in ("Pod", "Job"):
            return None
        kept = self._events.setdefault(about.uid, {})
        kept[event.metadata.name] = event
        while len(kept) > MAX_EVENTS:
            del kept[next(iter(kept))]
        while len(self._events) > _STRAY + len(self.pods) + len(self.jobs):
            self._events.popitem(last=False)
        holder = self.pods.get(about.name) if about.kind == "Pod" else self.jobs.get(about.name)
        pool = _pool(holder) if holder is not None else None
        if pool is not None:
            self._due[pool, about.name if about.kind == "Pod" else ""] = None
        return pool

    def refuse(self, pool: PoolId, sentence: str, words: str) -> None:
        """Note that the cluster will never take what a pool needs."""
        reason = Reason(code=ReasonCode.REFUSED, sentence=sentence, words=words)
        self._due[pool, ""] = Observation(pool=pool, phase=Phase.WAITING, reason=reason, final=True)

    def look_again(self) -> None:
        """Judge anew what waits: some waits are over, or hopeless, only because time has passed."""
        for key, seen in self._told.items():
            if seen.phase in (Phase.WAITING, Phase.UNKNOWN):
                self._due.setdefault(key, None)
        for pool in self._jobs_of:
            self._due.setdefault((pool, ""), None)

    # --- what follows ---------------------------------------------------------------------------------

    def changes(self, now: datetime) -> Iterator[Observation]:
        """Every observation that is another one than was told before."""
        due, self._due = self._due, {}
        for key, known in due.items():
            pool, name = key
            seen = known or (self._of_pod(self.pods.get(name), now) if name else self._of_pool(pool, now))
            if seen is None or seen == self._told.get(key):
                continue
            if seen.phase is Phase.GONE or (not name and seen.phase is Phase.RUNNING):
                self._told.pop(key, None)
            else:
                self._told[key] = seen
            yield seen

    def _of_pod(self, pod: Pod | None, now: datetime) -> Observation | None:
        return None if pod is None else observe(pod, self._of(pod), now)

    def _of_pool(self, pool: PoolId, now: datetime) -> Observation | None:
        """What is to be said of the whole pool; ``running`` takes back what was said before."""
        pods = self.pods_of(pool)
        jobs = self.jobs_of(pool)
        for job in sorted(jobs, key=lambda job: job.metadata.name, reverse=True):
            if seen := observe_job(job, pods, self._of(job), now):
                return seen
        return Observation(pool=pool, phase=Phase.RUNNING) if (pool, "") in self._told else None

    def pods_of(self, pool: PoolId) -> list[Pod]:
        """Every pod of a pool."""
        return [self.pods[name] for name in sorted(self._pods_of.get(pool, ()))]

    def jobs_of(self, pool: PoolId) -> list[Job]:
        """Every Job of a pool."""
        return [self.jobs[name] for name in sorted(self._jobs_of.get(pool, ()))]

    def lacks_secret(self, pool: PoolId) -> bool:
        """Whether a pod of the pool can't begin because somebody removed the pool's Secret."""
        name = f'secret "{secret_name(pool)}" not found'
        return any(
            name in event.message
            for pod in self.pods_of(pool)
            if is_alive(pod) and not has_begun(pod)
            for event in self._of(pod)
        )

    def overdue(self, now: datetime) -> set[PoolId]:
        """Pools with a pod that should have ended long ago."""
        return {
            pool for pool, names in self._pods_of.items() if any(is_overdue(self.pods[n], now) for n in names)
        }

    def pools(self) -> set[PoolId]:
        """Every pool of which there is anything."""
        return {*self._pods_of, *self._jobs_of}

    def _of(self, thing: Pod | Job) -> list[Event]:
        return list(self._events.get(thing.metadata.uid, {}).values())

    def _forget_events(self, thing: Pod | Job) -> None:
        self._events.pop(thing.metadata.uid, None)


def _pool(thing: Pod | Job) -> PoolId | None:
    pool = PoolId(thing.metadata.labels.get(POOL, ""))
    is_of = is_job_of if isinstance(thing, Job) else is_pod_of
    return pool if pool and is_of(pool, thing.metadata.name) else None


def _keep(
    things: dict[str, _T], of: dict[PoolId, set[str]], pool: PoolId, thing: _T, *, deleted: bool
) -> None:
    name = thing.metadata.name
    if not deleted:
        things[name] = thing
        of.setdefault(pool, set()).add(name)
        return
    things.pop(name, None)
    names = of.get(pool, set())
    names.discard(name)
    if not names:
        of.pop(pool, None)
