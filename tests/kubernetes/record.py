"""``python tests/kubernetes/record.py [NAME…]``: records what a real API server says of each situation.

The recordings are what the tests of ``offload.backends.kubernetes.why`` are made of. They hold the pod, the
Job and the events as the API server returned them, but for ``managedFields``. An event whose author isn't on
the rig, such as an autoscaler, is written by hand and marked.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from cluster import programs, simulated
from cluster.access import kubectl
from cluster.places import ADDRESS, KUBECONFIG
from cluster.processes import RigError, say
from recording.catalogue import SITUATIONS
from recording.situation import JOB, Json, Seen, Situation, base_job

RECORDINGS = Path(__file__).resolve().parents[1] / "unit" / "kubernetes" / "why" / "recordings"
AT_ONCE = 4
RACK = {"cpu": 8, "memory": "16Gi"}


def main(names: list[str]) -> int:
    """Record the named situations, or all."""
    unknown = sorted(set(names) - {one.name for one in SITUATIONS})
    if unknown:
        say(f"There is no situation {', '.join(unknown)}.")
        return 2
    chosen = [one for one in SITUATIONS if not names or one.name in names]
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    with registry(), ThreadPoolExecutor(AT_ONCE) as several:
        # Those that add nodes come last: a node more is seen by all who look for one.
        worked = [*several.map(attempt, [one for one in chosen if not one.nodes])]
        worked += [*several.map(attempt, [one for one in chosen if one.nodes])]
    say(f"{sum(worked)} of {len(chosen)} recorded.")
    return 0 if all(worked) else 1


def attempt(situation: Situation) -> bool:
    """Record one; whether it worked."""
    begun = time.monotonic()
    try:
        seen = bring_about(situation)
    except RigError as error:
        say(f"✗ {situation.name}: {error}")
        return False
    write(situation, seen)
    say(f"✓ {situation.name} ({time.monotonic() - begun:.0f} s)")
    return True


def bring_about(situation: Situation) -> Seen:
    """Make a situation happen, and return what was seen of it."""
    namespace = f"why-{situation.name.replace('_', '-')}"
    try:
        with played(situation) as silence:
            _prepare(situation, namespace)
            return _follow(situation, namespace, silence)
    finally:
        for node in situation.nodes:
            simulated.remove_node(node)
        if situation.objects:  # not all of them go with the namespace
            _ask(namespace, "delete", *situation.objects)
        kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


def _prepare(situation: Situation, namespace: str) -> None:
    level = "restricted" if situation.restricted else "privileged"
    for node, resources in situation.nodes.items():
        simulated.add_node(node, {**RACK, **resources}, player=situation.name)
    kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=90)
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, f"pod-security.kubernetes.io/enforce={level}")
    if situation.objects:
        _apply(namespace, *situation.objects)
        time.sleep(1)  # admission plug-ins learn of quotas and policies by and by, and nothing says when
    job = base_job()
    situation.change(job)
    _apply(namespace, job)


def _apply(namespace: str, *things: Json) -> None:
    _ask(namespace, "apply", *things)


def _ask(namespace: str, verb: str, *things: Json) -> None:
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": things})
    more = ("--ignore-not-found", "--wait=false") if verb == "delete" else ()
    kubectl("-n", namespace, verb, *more, "-f", "-", given=whole)


@contextlib.contextmanager
def played(situation: Situation) -> Iterator[Callable[[], None]]:
    """A kwok for the nodes of this situation alone; yields what lets all of them fall silent."""
    if not situation.nodes:
        yield lambda: None
        return
    component = simulated.kwok()
    others = ("--manage-nodes", "--server-address")
    arguments = [str(one) for one in component.arguments if not str(one).startswith(others)]
    selector = f"--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node={situation.name}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([programs.kwok(), *arguments, selector], **quiet) as kwok:
        try:
            yield kwok.terminate
        finally:
            kwok.terminate()


def _follow(situation: Situation, namespace: str, silence: Callable[[], None]) -> Seen:
    deadline = time.monotonic() + situation.seconds
    acted = situation.act is None and situation.writes is None and not situation.silences
    with deletions(namespace) as gone:
        while True:
            seen = look(namespace)
            if situation.deleted and gone:
                return Seen(job=seen.job, pods=gone[:1], events=seen.events)
            if not acted and seen.pods and situation.once(seen):
                if situation.silences:
                    silence()
                _act(situation, namespace, seen.pod)
                acted = True
            elif acted and not situation.deleted and situation.until(seen):
                return seen
            if time.monotonic() > deadline:
                told = json.dumps([seen.pod.get("status"), *seen.events[-3:]])
                raise RigError(f"not within {situation.seconds:.0f} s: {told}")
            time.sleep(0.2)


def _act(situation: Situation, namespace: str, pod: Json) -> None:
    if situation.act is not None:
        situation.act(namespace, pod["metadata"]["name"])
    if situation.writes is not None:
        kubectl("create", "-f", "-", given=json.dumps(_event(pod, *situation.writes)))


def _event(pod: Json, reason: str, message: str, component: str) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{name}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name,
            "namespace": namespace,
            "uid": pod["metadata"]["uid"],
        },
        "type": "Normal",
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def look(namespace: str) -> Seen:
    """What the API server tells now."""
    listed = json.loads(kubectl("-n", namespace, "get", "jobs,pods,events", "-o", "json"))["items"]
    for one in listed:
        one["metadata"].pop("managedFields", None)
    jobs = [one for one in listed if one["kind"] == "Job" and one["metadata"]["name"] == JOB]
    pods = [one for one in listed if one["kind"] == "Pod" and one["metadata"]["name"].startswith(JOB)]
    pods.sort(key=lambda one: one["metadata"]["creationTimestamp"])
    events = [one for one in listed if one["kind"] == "Event"]
    events.sort(key=lambda one: one["metadata"]["creationTimestamp"])
    return Seen(job=jobs[0] if jobs else None, pods=pods, events=events)


@contextlib.contextmanager
def deletions(namespace: str) -> Iterator[list[Json]]:
    """The pods of the Job that were deleted meanwhile, as they were last."""
    found: list[Json] = []
    argv = [
        programs.kubectl(),
        "--kubeconfig",
        KUBECONFIG,
        "-n",
        namespace,
        "get",
        "pods",
        "-w",
        "-o",
        "json",
    ]
    with subprocess.Popen([*argv, "--output-watch-events"], stdout=subprocess.PIPE, text=True) as watch:
        threading.Thread(target=_collect, args=(watch, found), daemon=True).start()
        try:
            yield found
        finally:
            watch.terminate()


def _collect(watch: subprocess.Popen[str], found: list[Json]) -> None:
    assert watch.stdout is not None
    for line in watch.stdout:
        event = json.loads(line)
        pod = event["object"]
        pod["metadata"].pop("managedFields", None)
        if event["type"] == "DELETED" and pod["metadata"]["name"].startswith(JOB):
            found.append(pod)


def write(situation: Situation, seen: Seen) -> None:
    """Keep a recording."""
    about = [seen.job, *seen.pods]
    ours = {one["metadata"]["uid"] for one in about if one}
    whole = {
        "story": situation.story,
        "kubernetes": json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"],
        "by_hand": f"the event {situation.writes[0]}" if situation.writes else "",
        "now": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deleted": situation.deleted,
        "job": seen.job,
        "pods": seen.pods,
        "events": [one for one in seen.events if one["involvedObject"].get("uid") in ours],
    }
    text = json.dumps(whole, indent=1, sort_keys=True) + "\n"
    resolver = re.compile(r"(?<=on )[0-9.]+(?=:53)")  # of this machine; nobody else's business
    (RECORDINGS / f"{situation.name}.json").write_text(resolver.sub("192.0.2.53", text))


@contextlib.contextmanager
def registry() -> Iterator[None]:
    """A registry (``registry.test``): lacks ``absent``, hides ``hidden``, limits ``busy``, keeps ``slow``."""
    stop = threading.Event()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/slow/" in self.path:
                stop.wait(120)
            status, code = next(
                (found for part, found in _ANSWERS.items() if part in self.path), (404, "MANIFEST_UNKNOWN")
            )
            body = json.dumps(
                {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
            ).encode()
            self.send_response(200 if re.fullmatch("/v2/?", self.path) else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server((ADDRESS, 5000), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            stop.set()
            server.shutdown()


_ANSWERS = {
    "/hidden/": (401, "UNAUTHORIZED"),
    "/busy/": (429, "TOOMANYREQUESTS"),
    "/broken/": (503, "UNAVAILABLE"),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
