"""What an API server means when it says no: one class for each meaning that somebody decides upon.

Kubernetes' own words stay beside ours (``message``, ``reason``): admission, quota and webhooks all answer
403, and only the words tell them apart.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
from msgspec import Struct, field

from offload.errors import ClusterError

__all__ = [
    "AlreadyExistsError",
    "ApiUnreachableError",
    "ConflictError",
    "CredentialsError",
    "ForbiddenError",
    "GoneError",
    "InvalidError",
    "KubernetesError",
    "NotFoundError",
    "ServerTroubleError",
    "Status",
    "TooManyRequestsError",
    "UnauthorizedError",
    "api_error",
]


class Cause(Struct, frozen=True):
    """One of several things that are wrong with what was sent."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(Struct, rename="camel", frozen=True):
    """What an error is about."""

    name: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(Struct, frozen=True):
    """``meta/v1`` Status: the body of every error."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: Details = field(default_factory=Details)


class KubernetesError(ClusterError):
    """An API server said no, or said nothing.

    Attributes:
        status: HTTP status; 0 without an answer.
        reason: Kubernetes' word for it, such as ``AlreadyExists``.
        message: its sentence.
        causes: what is wrong with each field of what was sent.
        retry_after: seconds that the server wants to be left alone.
    """

    says: ClassVar[str] = "Kubernetes refuses to"
    advice: ClassVar[str] = ""

    def __init__(
        self, what: str, status: Status | None = None, *, next_step: str = "", retry_after: float = 0
    ) -> None:
        status = status or Status()
        self.status, self.reason, self.message = status.code, status.reason, status.message
        self.causes = status.details.causes
        self.retry_after = max(retry_after, status.details.retry_after_seconds)
        words = status.message or status.reason
        super().__init__(
            f"{self.says} {what}: {words}".rstrip(": "),
            next_step=next_step or self.advice,
            details={"status": self.status, "reason": self.reason},
        )


class UnauthorizedError(KubernetesError):
    """Our credentials aren't accepted, not even when fetched anew (401)."""

    says = "The cluster doesn't know who we are, asked to"
    advice = "Sign in to the cluster again; `kubectl auth whoami` has to work with the same kubeconfig."


class ForbiddenError(KubernetesError):
    """We may not do this: a missing right, but also a quota, a policy or a webhook (403)."""

    says = "The cluster doesn't let us"
    advice = "Ask the cluster's administrator; `offload clusters check` shows the rights that are needed."


class NotFoundError(KubernetesError):
    """There is no such object, namespace or kind of object (404)."""

    says = "The cluster doesn't have what is needed to"


class AlreadyExistsError(KubernetesError):
    """An object of this name is there already (409)."""


class ConflictError(KubernetesError):
    """The object has changed since it was read, or belongs to somebody else (409)."""


class GoneError(KubernetesError):
    """The version to go on from is too old to be remembered: list again (410)."""


class InvalidError(KubernetesError):
    """What we sent isn't valid, now and ever (400, 405, 406, 413, 415, 422)."""


class TooManyRequestsError(KubernetesError):
    """The server has too much to do; ``retry_after`` says how long (429)."""

    says = "The cluster has too much to do to"


class ServerTroubleError(KubernetesError):
    """The server itself failed, or what answered is no API server."""

    says = "The cluster's API server failed to"


class ApiUnreachableError(KubernetesError):
    """No answer: no connection, a broken one, or silence."""

    says = "The cluster's API server can't be reached to"
    advice = "See whether the network or VPN to the cluster is up; `kubectl version` has to answer."


class CredentialsError(KubernetesError):
    """There are no credentials to show: a plug-in failed, or a file is missing."""

    says = "There are no credentials to"


_BY_CODE: Final[dict[int, type[KubernetesError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    429: TooManyRequestsError,
} | dict.fromkeys((400, 405, 406, 413, 415, 422), InvalidError)
_BY_REASON: Final[dict[str, type[KubernetesError]]] = {
    "AlreadyExists": AlreadyExistsError,
    "Expired": GoneError,
}


def api_error(what: str, code: int, body: bytes, retry_after: str = "") -> KubernetesError:
    """The error that an answer means.

    Args:
        what: what we tried, as an infinitive without "to".
        code: HTTP status, or the code in an ``ERROR`` of a watch.
        body: a ``Status``; proxies and load balancers send anything else.
        retry_after: the header of that name, if any.
    """
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = Status(message=body[:200].decode("utf-8", "replace").strip())
    status = msgspec.structs.replace(status, code=code)
    cls = _BY_REASON.get(status.reason) or _BY_CODE.get(code, ServerTroubleError)
    return cls(what, status, retry_after=float(retry_after) if retry_after.isdigit() else 0)
