"""One pod, as an observation of the runner in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from offload.backends.kubernetes.names import runner_of
from offload.backends.kubernetes.objects import Event, Pod
from offload.backends.kubernetes.why import patience
from offload.backends.kubernetes.why.containers import NOT_STARTED, explain_preparing
from offload.backends.kubernetes.why.endings import explain_absence, explain_end, explain_lost_node
from offload.backends.kubernetes.why.evidence import RUNNER, TASK, Verdict, seconds, status_of, verdict
from offload.backends.kubernetes.why.scheduling import explain_unplaced
from offload.model.ids import pool_of_runner
from offload.model.observation import Observation, Phase
from offload.model.reasons import ReasonCode


def observe(pod: Pod, events: Sequence[Event], now: datetime) -> Observation:
    """What is seen of a runner.

    Args:
        pod: as the API server has it.
        events: about the pod.
        now: by the cluster's clock.
    """
    if pod.status.phase in ("Succeeded", "Failed"):
        return _tell(pod, Phase.ENDED, explain_end(pod, events))
    if lost := explain_lost_node(pod, events):
        return _tell(pod, Phase.UNKNOWN, lost)
    if pod.status.phase not in ("Pending", "Running", ""):
        words = ": ".join(part for part in (pod.status.phase, pod.status.reason, pod.status.message) if part)
        sentence = "The cluster can't tell how the runner is."
        return _tell(pod, Phase.UNKNOWN, verdict(ReasonCode.UNKNOWN, sentence, words))
    return _observe_alive(pod, events, now)


def _observe_alive(pod: Pod, events: Sequence[Event], now: datetime) -> Observation:
    if _runs(pod):
        return _tell(pod, Phase.RUNNING, None)
    if _began(pod):
        return _tell(pod, Phase.UNKNOWN, _halved(pod))
    if pod.spec.node_name or pod.status.phase == "Running":
        return _tell(pod, Phase.WAITING, explain_preparing(pod, events, now))
    return _tell(pod, Phase.WAITING, explain_unplaced(pod, events, now))


def gone(pod: Pod, events: Sequence[Event]) -> Observation:
    """What is to be said of a runner whose pod was deleted.

    Args:
        pod: as it was last seen.
        events: about the pod.
    """
    return _tell(pod, Phase.GONE, explain_absence(pod, events))


def _tell(pod: Pod, phase: Phase, found: Verdict | None) -> Observation:
    runner = runner_of(pod.metadata.name)
    return Observation(
        pool=pool_of_runner(runner),
        runner=runner,
        phase=phase,
        reason=found.reason if found else None,
        final=found.final if found else False,
    )


def _runs(pod: Pod) -> bool:
    runner = status_of(pod, RUNNER)
    return runner is not None and runner.state.running is not None and _began(pod)


def _began(pod: Pod) -> bool:
    """Whether the script's container was started, with or without an end since."""
    task = status_of(pod, TASK)
    if task is None:
        return False
    ended = task.state.terminated
    return task.state.running is not None or (ended is not None and ended.reason not in NOT_STARTED)


def _halved(pod: Pod) -> Verdict:
    """The script's container was started, but the runner doesn't run.

    Kubernetes starts both at nearly the same moment, and a runner that ended is started anew after a pause.
    One that worked tells the script's container to end then. One that never worked would do this for ever.
    """
    runner = status_of(pod, RUNNER)
    ended = (runner.state.terminated or runner.last_state.terminated) if runner else None
    if runner is None or ended is None:
        return verdict(ReasonCode.RUNNER_LOST, "The runner beside the script doesn't run.")
    how = f"with exit status {ended.exit_code}"
    if ended.reason == "OOMKilled":
        how = "because it needed more memory than it has"
    words = ended.message or (runner.state.waiting.message if runner.state.waiting else "")
    soon = (
        seconds(pod.status.start_time, ended.finished_at) < patience.BEGINNING if ended.finished_at else False
    )
    if runner.restart_count >= patience.CRASHES and soon:
        sentence = f"The runner beside the script ends again and again, {how}."
        return verdict(ReasonCode.RUNNER_LOST, sentence, words, final=True)
    return verdict(ReasonCode.RUNNER_LOST, f"The runner beside the script ended, {how}.", words)
