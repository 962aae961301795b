"""The tables. Times are seconds since the epoch; states, reasons and specs are text that any tool can read.

``tasks`` holds the lease of a running task in its own row: there is at most one, so a guarded update of that
row is all that leasing needs. ``jobs`` carries the number of its tasks in each state, changed in the same
transaction as the task, so a listing never counts rows. A job has a pool for each size that any of its tasks
needed; those tasks that need more than was asked are few, and are counted by an index.

A task gets its row when it is first leased. Those that have not begun are what is left of the array from the
position ``jobs.begun`` on, and the same holds for all of them: they are pending, or they ended together as
``rest_state`` for ``rest_reason``. So a million tasks are submitted, listed and ended as fast as one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

_Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


def _job() -> ForeignKey:
    return ForeignKey("jobs.id", ondelete="CASCADE")


jobs = Table(
    "jobs",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),  # submission order
    Column("id", Text, nullable=False, unique=True),
    Column("key", Text, nullable=False, unique=True),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text),
    Column("exit_status", Integer),
    Column("pending", Integer, nullable=False),
    Column("running", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("begun", Integer, nullable=False, server_default="0"),
    Column("rest_state", Text),
    Column("rest_reason", Text),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("results_removed", Boolean, nullable=False),
    Column("pause", Text),  # why nothing new begins; NULL unless that is the target
    Column("tripped", Boolean, nullable=False, server_default=false()),  # the breaker has paused it once
    Index(None, "state", "number"),
)

pools = Table(
    "pools",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job", Text, _job(), nullable=False, index=True),
    Column("wanted", Integer),
    Column("released", Boolean, nullable=False),
    Column("early_deaths", Integer, nullable=False),
    Column("last_words", Text, nullable=False),
    Column("refused", Text),
    Column("waiting", Text),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job", Text, _job(), primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("charged", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("size", Integer, nullable=False, server_default="0"),
    Column("token", Text, unique=True),
    Column("runner", Text, index=True),
    Column("expires", Float),
    Column("reason", Text),
    Column("exit_status", Integer),
    Column("results", Text),
    Column("result", Text),
    Column("due", Float),
    Index(None, "job", "state", "size", "position"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", Text, _job(), primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("token", Text, nullable=False, unique=True),
    Column("runner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("exit_status", Integer),
    Column("reason", Text),
    Column("use", Text),
)

runners = Table(
    "runners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pool", Text, ForeignKey("pools.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("hello", Float),
    Column("ended", Float),
    Column("reason", Text),
)

events = Table(
    "events",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("job", Text, _job(), nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("task", Integer),
    Column("data", Text, nullable=False),
    Index(None, "job", "id"),
    sqlite_autoincrement=True,  # an id is never used twice, so a reader can resume from it
)

manifests = Table(
    "manifests",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("touched", Float, nullable=False),
)

manifest_blobs = Table(
    "manifest_blobs",
    metadata,
    Column("manifest", Text, ForeignKey("manifests.digest", ondelete="CASCADE"), primary_key=True),
    Column("blob", Text, primary_key=True, index=True),
)

references = Table(
    "references_by_job",
    metadata,
    Column("job", Text, _job(), primary_key=True),
    Column("digest", Text, primary_key=True, index=True),  # of a manifest, or of a blob by itself (stdin)
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job", Text, _job(), primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
)

owner = Table(
    "owner",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("identity", Text, nullable=False),
    Column("place", Text, nullable=False),
)
