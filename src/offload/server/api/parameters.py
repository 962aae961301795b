"""The parameters of the public API, with their bounds and examples."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from offload.model.spec import Spec
from offload.model.states import State
from offload.wire.api import Digests, Submission

_TEXT: Final = r"^[^\x00]*$"
MAX_ID: Final = (1 << 63) - 1
MAX_INDEX: Final = (1 << 31) - 1
MAX_DIGESTS: Final = 200_000
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

JobId = Annotated[str, Path(max_length=200, pattern=_TEXT, description="Id of a job.", examples=["k7m2q9x"])]
Index = Annotated[int, Path(ge=0, le=MAX_INDEX, description="Index of a task; 1 for a plain job.")]
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
OfUser = Annotated[
    str | None, Query(alias="user", max_length=200, pattern=_TEXT, description="Only this user's.")
]
Before = Annotated[
    str | None, Query(max_length=200, pattern=_TEXT, description="`next` of the previous page.")
]
After = Annotated[int | None, Query(ge=0, le=MAX_INDEX, description="`next` of the previous page.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Follow = Annotated[bool, Query(description="Whether to wait for what is still to come.")]
Position = Annotated[
    int,
    Query(alias="after", ge=0, le=MAX_ID, description="Byte position in the stream of all tasks' frames."),
]
OfTask = Annotated[
    int | None, Query(alias="task", ge=0, le=MAX_INDEX, description="Only the output of this task.")
]
LastEvent = Annotated[
    int,
    Header(alias="Last-Event-ID", ge=0, le=MAX_ID, description="Id of the last event that was seen."),
]


class SubmissionBody(BaseModel):
    """A job to run. Its snapshot, and the blob of its standard input, must have been put before."""

    model_config = ConfigDict(
        extra="forbid", title="Submission", json_schema_extra={"examples": [_SUBMISSION]}
    )

    spec: Spec
    key: str = Field(
        min_length=1,
        max_length=200,
        description="Chosen by the client; the same key again returns the same job instead of a second one.",
    )

    def value(self) -> Submission:
        """The message."""
        return Submission(spec=self.spec, key=self.key)


class DigestsBody(BaseModel):
    """A list of blob digests."""

    model_config = ConfigDict(
        extra="forbid", title="Digests", json_schema_extra={"examples": [{"digests": [EMPTY]}]}
    )

    digests: list[Annotated[str, Field(pattern=_DIGEST)]] = Field(default=[], max_length=MAX_DIGESTS)

    def value(self) -> Digests:
        """The message."""
        return Digests(digests=tuple(self.digests))
