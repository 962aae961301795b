"""The parameters of tasks as people see them: computed for a grid, looked up for a table.

The store knows nothing of them but the spec, which never changes. So what is shown beside a task needs no
column, and a page of tasks costs a part or two of the table.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from offload.errors import BlobMissingError
from offload.launcher.content import Content
from offload.model.parameters import Parameters, Table
from offload.store import jobs
from offload.store.engine import Store
from offload.wire.api import TaskPage, TaskView
from offload.wire.tables import TableReader

_KEPT: Final = 8
"""Jobs whose parameters, and tables whose parts, are kept at hand."""


class TaskParameters:
    """Fills in the parameters of tasks."""

    def __init__(self, store: Store, content: Content) -> None:
        self._store = store
        self._content = content
        self._known: OrderedDict[str, Parameters | None] = OrderedDict()
        self._readers: OrderedDict[str, TableReader] = OrderedDict()
        self._reading = asyncio.Lock()

    async def page(self, job: str, page: TaskPage) -> TaskPage:
        """A page of a job's tasks with their parameters."""
        parameters = await self._of_job(job)
        if parameters is None:
            return page
        return TaskPage(tasks=await self._filled(parameters, page.tasks), next=page.next)

    async def task(self, job: str, task: TaskView) -> TaskView:
        """A task with its parameters."""
        parameters = await self._of_job(job)
        return task if parameters is None else (await self._filled(parameters, (task,)))[0]

    async def _of_job(self, job: str) -> Parameters | None:
        if job not in self._known:
            self._known[job] = (await self._store.run(jobs.get, job)).spec.parameters
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[job]

    async def _filled(self, parameters: Parameters, tasks: tuple[TaskView, ...]) -> tuple[TaskView, ...]:
        if parameters.table is None:
            values = parameters.values_at(task.index - 1 for task in tasks)
            return tuple(map(_with, tasks, values))
        async with self._reading:  # a reader is for one thread
            try:
                reader = await self._reader(parameters.table)
                return await asyncio.to_thread(_read, reader, parameters.table, tasks)
            except BlobMissingError:
                return tasks

    async def _reader(self, table: Table) -> TableReader:
        if table.digest not in self._readers:
            manifest = await self._content.get_manifest(table.digest)
            self._readers[table.digest] = TableReader(manifest, self._content.files.fetch)
            if len(self._readers) > _KEPT:
                self._readers.popitem(last=False)
        return self._readers[table.digest]


def _read(reader: TableReader, table: Table, tasks: tuple[TaskView, ...]) -> tuple[TaskView, ...]:
    return tuple(_with(task, table.values_of(reader.row(task.index - 1))) for task in tasks)


def _with(task: TaskView, values: dict[str, str]) -> TaskView:
    return replace(task, parameters=values)
