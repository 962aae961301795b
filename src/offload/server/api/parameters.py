"""The parameters of the public API, with their bounds and examples.

What is written must be of the type that is meant: a text is no number, ``yes`` is not ``true``. A mistake
that happens to make sense otherwise runs with a value that nobody asked for.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

from fastapi import Header, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from offload.model.array import Array
from offload.model.spec import Spec
from offload.model.states import Stand, State
from offload.wire.api import Rerun, Submission
from offload.wire.content import Digests

_TEXT: Final = r"^[^\x00]*$"
MAX_ID: Final = (1 << 63) - 1
MAX_INDEX: Final = (1 << 31) - 1
MAX_DIGESTS: Final = 200_000
MAX_TAIL: Final = 16 << 20
"""Bytes of an output's end, which the launcher holds in memory."""
_DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
EMPTY: Final = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_SUBMISSION: Final[dict[str, Any]] = {
    "key": "5f0c7a1e",
    "spec": {
        "command": ["Rscript", "fit.R", "--rounds", "500"],
        "name": "fit.R",
        "cluster": "local",
        "snapshot": EMPTY,
        "home": "file://laptop/home/ada/study",
        "resources": {"cpus": 2, "memory": 4294967296},
    },
}


def _whole(given: Any) -> Any:
    if isinstance(given, str) and not re.fullmatch(r"-?[0-9]+", given):
        raise ValueError("it is a whole number such as 1 or 50")
    return given


def _choice(given: Any) -> Any:
    if isinstance(given, str) and given not in ("true", "false"):
        raise ValueError("it is true or false")
    return given


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number in an address or a header."""
Choice = Annotated[bool, BeforeValidator(_choice)]
"""``true`` or ``false`` in an address."""

JobId = Annotated[str, Path(max_length=200, pattern=_TEXT, description="Id of a job.", examples=["k7m2q9x"])]
Index = Annotated[Whole, Path(ge=0, le=MAX_INDEX, description="Index of a task; 1 for a plain job.")]
Digest = Annotated[
    str, Path(pattern=_DIGEST, description="`sha256:` and 64 hexadecimal digits.", examples=[EMPTY])
]
Key = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        pattern=_TEXT,
        description="Chosen by the client; the same key, the same job.",
    ),
]
OfState = Annotated[State | None, Query(alias="state", description="Only those in this state.")]
OfStand = Annotated[
    Stand | None,
    Query(alias="state", description="Only those that stand so; a paused job is `paused` alone."),
]
OfUser = Annotated[
    str | None, Query(alias="user", max_length=200, pattern=_TEXT, description="Only this user's.")
]
Before = Annotated[
    str | None, Query(max_length=200, pattern=_TEXT, description="`next` of the previous page.")
]
WithResults = Annotated[Choice, Query(description="Only tasks that made files.")]
After = Annotated[Whole | None, Query(ge=0, le=MAX_INDEX, description="`next` of the previous page.")]
Limit = Annotated[Whole, Query(ge=1, le=1000, description="At most so many.")]
Follow = Annotated[Choice, Query(description="Whether to wait for what is still to come.")]
ToRest = Annotated[
    Choice,
    Query(alias="rest", description="Whether a job that is paused and of which nothing runs is an end."),
]
Kinds = Annotated[
    tuple[Annotated[str, Field(max_length=200, pattern=_TEXT)], ...],
    Query(alias="kind", max_length=20, description="Only events of these kinds."),
]
Position = Annotated[
    Whole,
    Query(alias="after", ge=0, le=MAX_ID, description="Byte position in the stream of all tasks' frames."),
]
OfTask = Annotated[
    Whole | None, Query(alias="task", ge=0, le=MAX_INDEX, description="Only the output of this task.")
]
Tail = Annotated[
    Whole | None,
    Query(ge=1, le=MAX_TAIL, description="Only the last frames of what there is, at most so many bytes."),
]
LastEvent = Annotated[
    Whole,
    Header(alias="Last-Event-ID", ge=0, le=MAX_ID, description="Id of the last event that was seen."),
]


class _Submission(BaseModel):
    model_config = ConfigDict(extra="forbid")

    spec: Spec
    key: str = Field(
        min_length=1,
        max_length=200,
        description="Chosen by the client; the same key again returns the same job instead of a second one.",
    )


class SubmissionBody(_Submission):
    """A job to run. Its snapshot, and the blob of its standard input, must have been put before."""

    model_config = ConfigDict(title="Submission", json_schema_extra={"examples": [_SUBMISSION]})

    @model_validator(mode="before")
    @classmethod
    def _strictly(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        try:
            text = json.dumps(given, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text isn't valid Unicode") from error
        # FastAPI validates what became of the JSON in Python, where strict would refuse a list for a tuple.
        return dict(_Submission.model_validate_json(text, strict=True))

    def value(self) -> Submission:
        """The message."""
        return Submission(spec=self.spec, key=self.key)


class RerunBody(BaseModel):
    """What shall be different this time; nothing is the same job once more."""

    model_config = ConfigDict(
        extra="forbid",
        title="Rerun",
        json_schema_extra={"examples": [{"tasks": {"ranges": [[2, 2, 1], [7, 9, 1]]}, "memory": 8589934592}]},
    )

    tasks: Array | None = Field(default=None, description="Only these of its tasks.")
    memory: Annotated[int, Field(strict=True)] | None = Field(default=None, description="Limit in bytes.")

    def value(self) -> Rerun:
        """The message."""
        return Rerun(tasks=self.tasks, memory=self.memory)


class DigestsBody(BaseModel):
    """A list of blob digests."""

    model_config = ConfigDict(
        extra="forbid", title="Digests", json_schema_extra={"examples": [{"digests": [EMPTY]}]}
    )

    digests: list[Annotated[str, Field(pattern=_DIGEST)]] = Field(default=[], max_length=MAX_DIGESTS)

    def value(self) -> Digests:
        """The message."""
        return Digests(digests=tuple(self.digests))
