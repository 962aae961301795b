"""Names of things, derived wherever they can be.

A job id is random and short enough to type. Everything below it is derived: the pool from the job, the
runner from the pool. So whoever repeats a step after a crash arrives at the same names.
"""

from __future__ import annotations

import secrets
from typing import Final, NewType

JobId = NewType("JobId", str)
PoolId = NewType("PoolId", str)
RunnerId = NewType("RunnerId", str)

_ALPHABET: Final = "23456789abcdefghjkmnpqrstvwxyz"  # nothing that is misread aloud
_LETTERS: Final = "abcdefghjkmnpqrstvwxyz"  # a Kubernetes name starts with a letter
JOB_ID_LENGTH: Final = 7


def new_job_id() -> JobId:
    """A fresh job id, such as ``k7m2q9x`` (about 35 bits; the store refuses a collision)."""
    rest = "".join(secrets.choice(_ALPHABET) for _ in range(JOB_ID_LENGTH - 1))
    return JobId(secrets.choice(_LETTERS) + rest)


def pool_id(job: JobId, number: int = 0) -> PoolId:
    """The pool of a job; ``number`` counts its resource sizes."""
    return PoolId(f"{job}-{number}")


def job_of_pool(pool: PoolId) -> JobId:
    """The job that a pool works for."""
    return JobId(pool.rpartition("-")[0])


def size_of_pool(pool: PoolId) -> int:
    """Which of its job's resource sizes a pool has; 0 is as asked."""
    return int(pool.rpartition("-")[2])


def runner_id(pool: PoolId, number: int) -> RunnerId:
    """The runner with this number in a pool."""
    return RunnerId(f"{pool}-{number}")


def pool_of_runner(runner: RunnerId) -> PoolId:
    """The pool that a runner belongs to: the first two parts of its name, whatever a backend adds to it."""
    return PoolId("-".join(runner.split("-", 2)[:2]))
