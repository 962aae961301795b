"""Jobs and their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fastapi import Response

from offload.launcher.launcher import Launcher
from offload.model.spec import Spec
from offload.model.states import State
from offload.server.access import Here, Person, router_for_people
from offload.server.api.parameters import (
    After,
    Before,
    Index,
    JobId,
    Key,
    Limit,
    OfStand,
    OfState,
    OfUser,
    RerunBody,
    SubmissionBody,
    WithResults,
)
from offload.server.problems import problems
from offload.store import jobs, pausing, tasks, usage
from offload.wire.api import JobPage, JobView, Rerun, TaskPage, TaskView, UsageView

router = router_for_people("jobs", "/jobs")
_OLD: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The job that the same key made before.", "model": JobView}
}


def _shown(launcher: Launcher, view: JobView) -> JobView:
    if view.state is State.RUNNING and view.reason is None:
        view = replace(view, reason=launcher.space.reason)
    return jobs.with_expiry(view, launcher.config.retention)


async def _at_work(launcher: Launcher, views: Sequence[JobView]) -> list[JobView]:
    """The same, but a task that waits in a runner for those before it counts as one that waits."""
    busy = [view.id for view in views if view.counts.running > 1]
    found = await launcher.store.run(tasks.at_work, busy) if busy else {}
    return [replace(view, counts=view.counts.with_running(found.get(view.id, 1))) for view in views]


@router.post("", status_code=201, responses=problems(409, 503) | _OLD, summary="Submit a job")
async def submit(body: SubmissionBody, launcher: Here, user: Person, response: Response) -> JobView:
    """The snapshot must be with the launcher; if it isn't (409 `blob_missing`), send it again."""
    view, new = await launcher.submissions.submit(body.value(), user)
    response.status_code = 201 if new else 200
    return _shown(launcher, view)


@router.post("/admission", responses=problems(503), summary="Ask what a job would become")
async def admission(body: SubmissionBody, launcher: Here, user: Person) -> Spec:
    """The spec with what the cluster fills in, or what it refuses. Nothing is kept."""
    return await launcher.submissions.admit(body.value(), user)


@router.post("/history", responses=problems(), summary="Ask what earlier jobs with the same script used")
async def history(body: SubmissionBody, launcher: Here, user: Person) -> UsageView:
    """Those of the same person, with the same interpreter, script and directory. Nothing is kept."""
    return UsageView(usage=await launcher.store.run(usage.of_script, user, body.value().spec))


@router.get("", responses=problems(404), summary="List jobs, newest first")
async def list_jobs(
    launcher: Here, state: OfStand = None, user: OfUser = None, limit: Limit = 50, before: Before = None
) -> JobPage:
    """A page of jobs; `next` is the `before` of the following page."""
    page = await launcher.store.run(jobs.page, stand=state, user=user, limit=limit, before=before)
    views = await _at_work(launcher, page.jobs)
    return JobPage(jobs=tuple(_shown(launcher, view) for view in views), next=page.next)


@router.get("/{job}", responses=problems(404), summary="Look at a job")
async def get_job(job: JobId, launcher: Here) -> JobView:
    """An unknown id is 404 with near ids in `details.near`."""
    (view,) = await _at_work(launcher, [await launcher.store.run(jobs.get, job)])
    if view.spec.is_array and view.counts.running:
        view = replace(view, slowest=await launcher.store.run(tasks.slowest, job))
    return _shown(launcher, view)


@router.get("/{job}/usage", responses=problems(404), summary="Ask what a job's attempts used")
async def get_usage(job: JobId, launcher: Here) -> UsageView:
    """Its latest attempts, and the request that would have fitted them."""
    return UsageView(usage=await launcher.store.run(usage.of_job, job))


@router.get("/{job}/tasks", responses=problems(404), summary="List a job's tasks in index order")
async def list_tasks(
    job: JobId,
    launcher: Here,
    *,
    state: OfState = None,
    results: WithResults = False,
    after: After = None,
    limit: Limit = 500,
) -> TaskPage:
    """A page of tasks; `next` is the `after` of the following page."""
    page = await launcher.store.run(tasks.page, job, state=state, results=results, after=after, limit=limit)
    return await launcher.parameters.page(job, page)


@router.get("/{job}/tasks/{index}", responses=problems(404), summary="Look at a task")
async def get_task(job: JobId, index: Index, launcher: Here) -> TaskView:
    """A task with all of its attempts."""
    return await launcher.parameters.task(job, await launcher.store.run(tasks.get, job, index))


@router.post("/{job}/cancel", responses=problems(404), summary="Cancel a job")
async def cancel(job: JobId, launcher: Here) -> JobView:
    """Moves the target: running tasks get their grace period, and what they made comes home. Idempotent."""
    view = await launcher.store.run(jobs.request_cancel, job, launcher.clock.now())
    launcher.hub.job_changed(job, desk=True)
    return _shown(launcher, view)


@router.post("/{job}/pause", responses=problems(404), summary="Pause a job")
async def pause(job: JobId, launcher: Here, user: Person) -> JobView:
    """Nothing new begins; what runs goes on to its end. A job that has ended stays so. Idempotent."""
    view = await launcher.store.run(pausing.request_pause, job, user, launcher.clock.now())
    launcher.hub.job_changed(job)
    return _shown(launcher, view)


@router.post("/{job}/resume", responses=problems(404), summary="Resume a paused job")
async def resume(job: JobId, launcher: Here, user: Person) -> JobView:
    """It goes on, whoever or whatever paused it. One that isn't paused stays as it is. Idempotent."""
    view = await launcher.store.run(pausing.request_resume, job, user, launcher.clock.now())
    launcher.hub.job_changed(job, idle=True)
    return _shown(launcher, view)


@router.post(
    "/{job}/rerun", status_code=201, responses=problems(404, 409, 410, 503) | _OLD, summary="Run a job again"
)
async def rerun(
    job: JobId,
    key: Key,
    launcher: Here,
    user: Person,
    *,
    response: Response,
    body: RerunBody | None = None,
) -> JobView:
    """The same spec as a new job, or some of its tasks, or with more memory."""
    again = body.value() if body else Rerun()
    view, new = await launcher.submissions.rerun(job, again, key, user)
    response.status_code = 201 if new else 200
    return _shown(launcher, view)
