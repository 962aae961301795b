"""Every error that Offload can show a person.

An error has a class (for Python), a stable ``code`` (for scripts and documentation), a sentence for a
data scientist and, wherever there is one, the next step. The launcher sends an error as JSON, and the
client raises the same class again, so a mistake reads alike wherever it was found.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

__all__ = ["ERRORS", "OffloadError", "error_from_json"]

USAGE: Final = 2
"""Exit status for a mistake in what was asked."""
PAUSED: Final = 123
"""Exit status when the job that was followed is left paused: the next one below a time limit's 124."""
OWN_FAILURE: Final = 125
"""Exit status when Offload itself, not the script, failed (the convention of ``docker run``)."""

ERRORS: Final[dict[str, type[OffloadError]]] = {}
"""Every error class by its code."""


class OffloadError(Exception):
    """Offload could not do what was asked.

    Attributes:
        code: stable name, for scripts and for the page of error codes.
        exit_status: what the command line exits with.
        http_status: what the API answers with.
        sentence: what happened, in the words of a data scientist.
        next_step: what to do about it; empty when there is nothing to do.
        details: machine-readable facts, for example the digests that are missing.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = OWN_FAILURE
    http_status: ClassVar[int] = 500

    def __init__(
        self, sentence: str, *, next_step: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.next_step = next_step
        self.details: dict[str, Any] = dict(details or {})

    def __init_subclass__(cls) -> None:
        """A class without a code of its own is a finer one for Python alone: others see its parent's."""
        super().__init_subclass__()
        if "code" in vars(cls) and ERRORS.setdefault(cls.code, cls) is not cls:
            raise TypeError(f"two errors share the code {cls.code!r}")

    def to_json(self) -> dict[str, Any]:
        """The shape of an error in the API: ``code``, ``sentence``, ``next_step``, ``details``."""
        return {
            "code": self.code,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "details": self.details,
        }


def error_from_json(body: Mapping[str, Any]) -> OffloadError:
    """Rebuild the error that the launcher sent; an unknown code becomes the base class."""
    cls = ERRORS.get(str(body.get("code")), OffloadError)
    return cls(
        str(body.get("sentence", "The launcher reported an error without a sentence.")),
        next_step=str(body.get("next_step", "")),
        details=body.get("details") or {},
    )


class UsageError(OffloadError):
    """What was asked is not valid: an option, a value, a range, a directive."""

    code = "usage"
    exit_status = USAGE
    http_status = 422


class ScriptNotFoundError(UsageError):
    """The script to run is not there, or can't be read."""

    code = "script_not_found"


class UnknownLanguageError(UsageError):
    """No interpreter belongs to the script's suffix."""

    code = "unknown_language"


class TooLargeForClusterError(UsageError):
    """The request exceeds what the cluster could ever give."""

    code = "too_large_for_cluster"


class UnknownClusterError(UsageError):
    """No cluster has this name."""

    code = "unknown_cluster"


class RefusedError(OffloadError):
    """The cluster will never take what is asked.

    Attributes:
        words: what the cluster said, verbatim.
    """

    code = "refused"
    http_status = 422

    def __init__(self, sentence: str, *, next_step: str = "", words: str = "") -> None:
        super().__init__(sentence, next_step=next_step)
        self.words = words


class ClusterExistsError(UsageError):
    """A cluster of this name is there already, with other settings."""

    code = "cluster_exists"
    http_status = 409


class ClusterBusyError(OffloadError):
    """The cluster can't be removed now, because jobs there are unfinished."""

    code = "cluster_busy"
    http_status = 409


class JobNotFoundError(UsageError):
    """No job has this id."""

    code = "job_not_found"
    http_status = 404


class TaskNotFoundError(UsageError):
    """The job has no task with this index."""

    code = "task_not_found"
    http_status = 404


class JobNotFinishedError(OffloadError):
    """The job must have ended before this can be done."""

    code = "job_not_finished"
    http_status = 409


class JobPausedError(OffloadError):
    """The job is paused and nothing of it runs: it won't end before somebody resumes or cancels it."""

    code = "job_paused"
    exit_status = PAUSED
    http_status = 409


class SnapshotTooLargeError(UsageError):
    """The working directory holds more than the size guard lets travel."""

    code = "snapshot_too_large"


class SnapshotUnreadableError(OffloadError):
    """A file or directory of the working directory can't be read."""

    code = "snapshot_unreadable"
    exit_status = USAGE


class LinkLeavesRootError(UsageError):
    """A symbolic link points out of the working directory."""

    code = "link_leaves_root"


class FileChangedError(OffloadError):
    """A file kept changing while it was read, so no consistent snapshot could be taken."""

    code = "file_changed"
    http_status = 409


class BlobCorruptError(OffloadError):
    """Bytes do not have the SHA-256 that names them."""

    code = "blob_corrupt"
    http_status = 422


class BlobMissingError(OffloadError):
    """Blobs that a manifest names are not in the blob store."""

    code = "blob_missing"
    http_status = 409


class ManifestInvalidError(OffloadError):
    """A manifest is malformed, unsorted, or names a path outside its root."""

    code = "manifest_invalid"
    http_status = 422


class ResultsGoneError(OffloadError):
    """Results or logs are past their retention and were removed."""

    code = "results_gone"
    http_status = 410


class DiskFullError(OffloadError):
    """There is no space left where something must be written."""

    code = "disk_full"
    http_status = 507


class OutputError(OffloadError):
    """What was to be printed can't be written: the disk behind it is full, or its device fails."""

    code = "output"


class NotPermittedError(OffloadError):
    """You may not write where Offload keeps its own things."""

    code = "not_permitted"


class PlaybackError(OffloadError):
    """Results can't be written into the directory they belong to."""

    code = "playback"


class LauncherUnreachableError(OffloadError):
    """No launcher answers, and none could be started."""

    code = "launcher_unreachable"


class LauncherBusyError(OffloadError):
    """The launcher can't stop or change now, because jobs are unfinished."""

    code = "launcher_busy"
    http_status = 409


class UnauthorizedError(OffloadError):
    """The token is missing, wrong, or not for this."""

    code = "unauthorized"
    http_status = 401


class LeaseLostError(OffloadError):
    """A runner speaks for a lease that it no longer holds."""

    code = "lease_lost"
    http_status = 409


class PoolReleasedError(OffloadError):
    """A runner dials in for a pool that is finished; it should end."""

    code = "pool_released"
    http_status = 410


class ProtocolError(OffloadError):
    """A request does not follow the protocol (a malformed frame, an unknown version)."""

    code = "protocol"
    http_status = 400


class SettingsError(UsageError):
    """A setting is unknown, malformed or contradicts another."""

    code = "settings"


class BackendUnavailableError(OffloadError):
    """A backend could not be loaded, or its cluster can't be reached."""

    code = "backend_unavailable"
    http_status = 503


class ClusterError(OffloadError):
    """A cluster refused, or could not do, what Offload asked of it."""

    code = "cluster"
    http_status = 502


class StoreError(OffloadError):
    """The store can't be opened, or belongs to a newer version of Offload."""

    code = "store"


class InternalError(OffloadError):
    """A mistake in Offload itself; the launcher's log has the details."""

    code = "internal"


def launcher_is_full() -> DiskFullError:
    """There is no space left where the launcher keeps its things."""
    return DiskFullError(
        "The launcher has no space left.", next_step="Free space on its disk, then try again."
    )


def is_disk_full(error: OSError) -> bool:
    """Whether the system says that a disk is full, or a quota used up."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def disk_full(sentence: str, next_step: str) -> Iterator[None]:
    """Turn the system's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(sentence, next_step=next_step) from error
