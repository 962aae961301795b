"""The reason codes, from ``offload.model.reasons``; what each means is told here, and none may be missing."""

from offload.model.reasons import NOT_CHARGED, ReasonCode

from .text import table

MEANINGS = {
    ReasonCode.EXIT: "The script ended with an exit status other than 0.",
    ReasonCode.SIGNAL: "A signal ended the script.",
    ReasonCode.OUT_OF_MEMORY: "It took more memory than its limit, and was ended.",
    ReasonCode.OUT_OF_DISK: "It wrote more to disk than its limit, and was ended.",
    ReasonCode.TIMEOUT: "Its time limit was up.",
    ReasonCode.COMMAND_NOT_FOUND: "The command, or the script's interpreter, isn't there on the cluster.",
    ReasonCode.RESULTS_LOST: "The script ended, but what it made could not be kept.",
    ReasonCode.EVICTED: "The cluster took its place away.",
    ReasonCode.PREEMPTED: "Something more important got its place.",
    ReasonCode.NODE_LOST: "The machine that it ran on has gone.",
    ReasonCode.RUNNER_LOST: "Its runner ended or fell silent without a report.",
    ReasonCode.IMAGE_UNAVAILABLE: "The container image can't be fetched.",
    ReasonCode.UNSCHEDULABLE: "No machine of the cluster can take it as things are.",
    ReasonCode.WAITING_FOR_NODE: "The cluster is getting a machine for it.",
    ReasonCode.WAITING_FOR_CAPACITY: "It fits, but not now: others take the place.",
    ReasonCode.WAITING_FOR_QUOTA: "The quota of its user or group is used up for now.",
    ReasonCode.STAGING: "Its place is being prepared.",
    ReasonCode.LAUNCHER_UNREACHABLE: "It runs, and can't reach the launcher.",
    ReasonCode.PAUSED: "Somebody paused the job.",
    ReasonCode.FAILED_ALIKE: "The job was paused, because its first tasks failed alike.",
    ReasonCode.CANCELLED: "Somebody cancelled the job.",
    ReasonCode.REFUSED: "The cluster rejects the request for good.",
    ReasonCode.UNKNOWN: "Something else; the outside system's own words are shown.",
}

_HEAD = """# Reason codes

A job that waits or failed carries a reason, and so does each task and attempt: a code, a sentence, and the
outside system's words where there are any.

An attempt with a reason marked *repeated* was lost through no fault of the task. It is tried again without
using up `--retries`.
"""


def page() -> str:
    """The page of reason codes."""
    rows = [
        (f"`{code.value}`", MEANINGS[code], "repeated" if code in NOT_CHARGED else "") for code in ReasonCode
    ]
    return f"{_HEAD}\n{table(('code', 'means', ''), rows)}\n"
