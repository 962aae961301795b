"""The launcher's public API as methods: one call each, values of :mod:`offload.wire.api` in and out.

Every call is idempotent. So when this machine's launcher has gone, between two calls or during one, it is
started again and the call repeated; the caller doesn't notice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from offload.client.launcher import Endpoint, ensure_running, find_endpoint
from offload.errors import (
    JobNotFoundError,
    LauncherUnreachableError,
    TaskNotFoundError,
    UnknownClusterError,
)
from offload.model.array import MAX_TASKS
from offload.model.diagnosis import Diagnosis
from offload.model.spec import Spec
from offload.model.usage import Usage
from offload.wire.api import (
    ClusterChange,
    ClusterView,
    JobPage,
    JobView,
    LauncherView,
    Rerun,
    Submission,
    TaskPage,
    TaskView,
    UsageView,
)
from offload.wire.codec import decode, encode
from offload.wire.http import Connection, Response
from offload.wire.version import VERSION, VERSION_HEADER

T = TypeVar("T")
_REVIVALS = 3
"""How often one call may find the launcher gone."""
_PAGE = 1000
"""Tasks that are asked for at a time, which is as many as there may be."""
_NO_INDEX = 1 << 31
"""From here on nothing is the index of a task."""
_LONGEST = 200
"""Characters of what the launcher takes for a job's id."""


class Api:
    """A conversation with one launcher; for one thread (:meth:`again` gives another thread its own).

    Args:
        endpoint: where the launcher is; None is what the environment says.
        other_version: told the version of this machine's launcher, once, when it isn't that of this code.
    """

    def __init__(
        self, endpoint: Endpoint | None = None, *, other_version: Callable[[str], None] | None = None
    ) -> None:
        self.endpoint = endpoint or find_endpoint()
        self._other_version = other_version
        self._connection = self.dial()

    def dial(self, timeout: float = 60.0) -> Connection:
        """A new connection to the same launcher, for a stream or a large transfer."""
        return Connection(self.endpoint.address, token=self.endpoint.token, timeout=timeout)

    def again(self) -> Api:
        """The same launcher, for another thread."""
        return Api(self.endpoint)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def jobs(
        self, *, state: str | None = None, user: str | None = None, limit: int = 50, before: str | None = None
    ) -> JobPage:
        """Jobs, newest first; ``state`` is what lists show, so a paused job is ``paused`` alone."""
        query = {"state": state, "user": user, "limit": limit, "before": before}
        return self._get("/v1/jobs", JobPage, query)

    def job(self, job: str) -> JobView:
        """One job; raises ``JobNotFoundError`` with near ids."""
        return self._get(job_path(job), JobView)

    def tasks(
        self, job: str, *, state: str | None = None, results: bool = False, limit: int | None = None
    ) -> Iterator[TaskView]:
        """The tasks of a job in index order, page by page, at most ``limit``.

        ``results`` leaves out those that made no files.
        """
        after: int | None = None
        left = MAX_TASKS if limit is None else limit
        chosen = {"state": state, "results": "true" if results else None}
        while left > 0:
            query = {**chosen, "after": after, "limit": min(left, _PAGE)}
            page = self._get(job_path(job, "/tasks"), TaskPage, query)
            yield from page.tasks
            if page.next is None:
                return
            after, left = page.next, left - len(page.tasks)

    def task(self, job: str, index: int) -> TaskView:
        """One task of a job; raises ``TaskNotFoundError``."""
        if not 0 <= index < _NO_INDEX:
            raise TaskNotFoundError(
                f"Job {job} has no task {index}.", next_step=f"Its tasks are {self.job(job).spec.array}."
            )
        return self._get(job_path(job, f"/tasks/{index}"), TaskView)

    def submit(self, submission: Submission) -> JobView:
        """Submit; the same key again returns the same job."""
        return self._call("POST", "/v1/jobs", JobView, encode(submission))

    def admission(self, spec: Spec) -> Spec:
        """What a submission of this spec would become; raises what it would be refused with."""
        return self._call("POST", "/v1/jobs/admission", Spec, encode(Submission(spec=spec, key="admission")))

    def usage(self, job: str) -> Usage | None:
        """What a job's attempts used; None when none has ended yet."""
        return self._get(job_path(job, "/usage"), UsageView).usage

    def history(self, spec: Spec) -> Usage | None:
        """What earlier jobs with the same script used; None when there is none."""
        body = encode(Submission(spec=spec, key="history"))
        return self._call("POST", "/v1/jobs/history", UsageView, body).usage

    def cancel(self, job: str) -> JobView:
        """Ask for the job's end."""
        return self._call("POST", job_path(job, "/cancel"), JobView)

    def pause(self, job: str) -> JobView:
        """Let nothing new of the job begin; what runs goes on to its end."""
        return self._call("POST", job_path(job, "/pause"), JobView)

    def resume(self, job: str) -> JobView:
        """Let a paused job go on."""
        return self._call("POST", job_path(job, "/resume"), JobView)

    def rerun(self, job: str, again: Rerun | None = None, key: str | None = None) -> JobView:
        """Submit the same spec as a new job, but for what shall be different."""
        query = urlencode({"key": key or secrets.token_hex(16)})
        return self._call("POST", job_path(job, f"/rerun?{query}"), JobView, encode(again or Rerun()))

    def clusters(self) -> tuple[ClusterView, ...]:
        """Where jobs can run; over TCP none of them is this machine, so no session variable helps there."""
        clusters = self._get("/v1/clusters", tuple[ClusterView, ...])
        if self.endpoint.address.startswith("unix:"):
            return clusters
        return tuple(replace(cluster, session_env=()) for cluster in clusters)

    def cluster(self, name: str) -> ClusterView:
        """One of them; raises ``UnknownClusterError`` with the right names."""
        return self._get(_cluster(name), ClusterView)

    def put_cluster(self, name: str, change: ClusterChange, *, replace: bool = False) -> ClusterView:
        """Add a cluster, or change one; raises ``ClusterExistsError`` unless it is to be replaced."""
        path = _cluster(name, f"?replace={str(replace).lower()}")
        return self._call("PUT", path, ClusterView, encode(change))

    def remove_cluster(self, name: str, *, force: bool = False) -> None:
        """Remove a cluster; raises ``ClusterBusyError`` while jobs there are unfinished, unless forced."""
        path = _cluster(name, f"?force={str(force).lower()}")
        self.patiently(lambda: self.request("DELETE", path).read())

    def diagnosis(self, name: str) -> Diagnosis:
        """A thorough look at a cluster."""
        return self._get(_cluster(name, "/diagnosis"), Diagnosis)

    def launcher(self) -> LauncherView:
        """The launcher itself."""
        return self._get("/v1/launcher", LauncherView)

    def stop_launcher(self, *, force: bool = False) -> None:
        """Ask the launcher to end; raises ``LauncherBusyError`` while jobs are unfinished, unless forced."""
        self.request("POST", f"/v1/launcher/stop?force={str(force).lower()}").read()

    def request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """One exchange without a second try; the answer must be read before the next call."""
        response = self._connection.request(method, path, body)
        self._compare_version(response.header(VERSION_HEADER))
        return response

    def _compare_version(self, version: str) -> None:
        tell, self._other_version = self._other_version, None
        if tell and self.endpoint.places and version not in ("", VERSION):
            tell(version)

    def patiently(self, call: Callable[[], T]) -> T:
        """Do ``call``, which must be idempotent; again when this machine's launcher was gone meanwhile."""
        for _ in range(_REVIVALS):
            try:
                return call()
            except LauncherUnreachableError:
                if self.endpoint.places is None:
                    raise
                ensure_running(self.endpoint.places)
        return call()

    def _get(self, path: str, kind: type[T], query: dict[str, Any] | None = None) -> T:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, kind)

    def _call(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        return self.patiently(lambda: decode(_read(self.request(method, path, body)), kind))


def _read(response: Response) -> bytes:
    return response.read()


def _cluster(name: str, rest: str = "") -> str:
    if not _fits_an_address(name):
        raise UnknownClusterError(
            f"There is no cluster called {name[:_LONGEST]!r}.",
            next_step="`offload clusters` lists the clusters that there are.",
        )
    return f"/v1/clusters/{quote(name, safe='')}{rest}"


def _fits_an_address(name: str) -> bool:
    return 0 < len(name) <= _LONGEST and name.isprintable() and "/" not in name and name not in (".", "..")


def job_path(job: str, rest: str = "") -> str:
    """Where the launcher tells of a job; raises ``JobNotFoundError`` for what is no part of an address."""
    if not _fits_an_address(job):
        raise JobNotFoundError(
            f"There is no job {job[:_LONGEST]!r}.", next_step="`offload jobs` lists the jobs that there are."
        )
    return f"/v1/jobs/{quote(job, safe='')}{rest}"
