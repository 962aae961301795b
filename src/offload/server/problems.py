"""Everything that goes wrong becomes the same JSON: code, sentence, next step, details.

An error of ours says all that by itself. What the framework finds wrong with a request is said in the same
words. Anything else is a mistake of ours: it gets a number under which the launcher's log tells more.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Sequence
from typing import Any, Final, get_args, get_type_hints

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offload.errors import (
    DiskFullError,
    InternalError,
    OffloadError,
    ProtocolError,
    UsageError,
    is_disk_full,
    launcher_is_full,
)
from offload.launcher.launcher import Launcher
from offload.launcher.space import Space
from offload.model.array import Array
from offload.model.resources import Resources
from offload.model.spec import Spec
from offload.wire.api import Submission
from offload.wire.content import Digests
from offload.wire.version import VERSION, VERSION_HEADER

_log = logging.getLogger(__name__)
_VERSION: Final = (VERSION_HEADER.lower().encode(), VERSION.encode())
_UNKNOWN: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_BODIES: Final = {"spec": Spec, "resources": Resources, "array": Array}


class Problem(BaseModel):
    """What went wrong, in the words of a data scientist, and what to do about it."""

    code: str = Field(description="Stable name, see the page of error codes.", examples=["job_not_found"])
    sentence: str = Field(description="What happened.", examples=["There is no job k7m2q9z."])
    next_step: str = Field(
        description="What to do; may be empty.", examples=["Did you mean k7m2q9x (fit.R)?"]
    )
    details: dict[str, Any] = Field(description="Facts for programs.", examples=[{"near": ["k7m2q9x"]}])


_SCHEMA: Final = {"$ref": "#/components/schemas/Problem"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that can go wrong like this, or with 422, 500 or 507 like any other.

    One of them describes a problem; describing it a hundred times would show in each start of a launcher.
    """
    found: dict[int | str, dict[str, Any]] = {500: {"model": Problem}}
    for status in (*statuses, 422, 507):
        found[status] = {"content": {"application/json": {"schema": _SCHEMA}}}
    return found


def answer(error: OffloadError, status: int | None = None) -> JSONResponse:
    """The JSON of an error."""
    return JSONResponse(error.to_json(), status or error.http_status)


def handle_problems(app: FastAPI) -> None:
    """Have the app answer errors with problems."""
    app.add_exception_handler(OffloadError, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)


async def _own(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OffloadError)
    if isinstance(error, DiskFullError):
        request.app.state.launcher.space.lacks()
    if error.http_status >= 500:  # noqa: PLR2004
        _log.error("%s %s", error.sentence, error.next_step, extra={"action": error.code})
    return answer(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [_words(one) for one in error.errors()]
    return answer(
        UsageError(" ".join(wrong), next_step="Correct the request; /v1/openapi.json describes it.")
    )


async def _framework(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # noqa: PLR2004  all that FastAPI says about a body that isn't even text
        return answer(UsageError("The body isn't JSON."))
    found = answer(ProtocolError(f"{error.detail}."), error.status_code)
    found.headers.update(error.headers or {})
    return found


def _words(one: dict[str, Any]) -> str:
    place = [str(part) for part in one["loc"] if part != "body"]
    if one["type"] in _UNKNOWN:
        return f"There is no field {'.'.join(place)}; the fields there are: {', '.join(_fields(place[:-1]))}."
    if one["type"] == "json_invalid":
        return "The body isn't JSON."
    said = str(one["ctx"]["error"]) if one["type"] == "value_error" else one["msg"]
    return f"{'.'.join(place) or 'The body'}: {said.rstrip('.')}."


def _fields(place: Sequence[str]) -> list[str]:
    """The fields of the message at this place of a submission."""
    kind: Any = Submission
    for part in place:
        if part.isdecimal():  # the number of an element in a list
            continue
        kind = _message_in(
            get_type_hints(kind).get(part, Digests) if dataclasses.is_dataclass(kind) else kind
        )
    return [field.name for field in dataclasses.fields(kind if dataclasses.is_dataclass(kind) else Digests)]


def _message_in(hint: Any) -> Any:
    """The message in a type: of a list or an optional one, the one inside."""
    inner = [one for one in get_args(hint) if one not in (type(None), Ellipsis)]
    return _message_in(inner[0]) if inner else hint


class Guard:
    """Around the whole app: counts who is served, tells the version, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp, launcher: Launcher) -> None:
        self._app = app
        self._launcher = launcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _VERSION]
            await send(message)

        with self._launcher.idle.asked():
            try:
                await self._app(scope, receive, note)
            except ClientDisconnect:
                return
            except Exception as error:
                response = _unforeseen(error, self._launcher.space)
                if begun:
                    raise  # the only way to tell the client that the body isn't whole
                await response(scope, receive, note)


def _unforeseen(error: Exception, space: Space) -> JSONResponse:
    if isinstance(error, OSError) and is_disk_full(error):
        space.lacks()
        _log.error("There is no space left: %s", error, extra={"action": "disk_full"})
        return answer(launcher_is_full())
    number = secrets.token_hex(4)
    _log.error("Unforeseen error %s", number, exc_info=error, extra={"action": "internal"})
    return answer(
        InternalError(
            f"The launcher made a mistake (number {number}).",
            next_step="Please report it with what the launcher's log says about this number.",
            details={"number": number},
        )
    )
