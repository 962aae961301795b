"""Pods whose node can't start them."""

from __future__ import annotations

from recording.situation import Situation, image, pods, script, secret_variable, together, volume
from recording.things import named, rooted

PREPARING: tuple[Situation, ...] = (
    Situation(
        name="secret_missing",
        story="A variable names a Secret that doesn't exist",
        change=secret_variable("database", "password"),
        until=lambda seen: seen.waits("task") == "CreateContainerConfigError",
    ),
    Situation(
        name="secret_key_missing",
        story="A Secret lacks the key that a variable names",
        change=secret_variable("database", "password"),
        objects=(named("Secret", "v1", "database", stringData={"user": "me"}),),
        until=lambda seen: seen.waits("task") == "CreateContainerConfigError",
    ),
    Situation(
        name="secret_volume_missing",
        story="A volume's Secret doesn't exist",
        change=volume({"secret": {"secretName": "certificates"}}),
        until=lambda seen: seen.has_event("FailedMount"),
    ),
    Situation(
        name="token_missing",
        story="The pool's own Secret doesn't exist",
        change=volume({"secret": {"secretName": "offload-k7m2q9x-0"}}),
        until=lambda seen: seen.has_event("FailedMount"),
    ),
    Situation(
        name="host_path_missing",
        story="The node has no such directory",
        restricted=False,
        change=volume({"hostPath": {"path": "/no/such/place", "type": "Directory"}}),
        until=lambda seen: seen.has_event("FailedMount"),
    ),
    Situation(
        name="nfs_broken",
        story="A file server can't be mounted",
        restricted=False,
        change=volume({"nfs": {"server": "10.244.255.1", "path": "/export"}}),
        until=lambda seen: seen.has_event("FailedMount"),
    ),
    Situation(
        name="root_image",
        story="The image wants to run as root",
        change=rooted,
        until=lambda seen: seen.waits("task") == "CreateContainerConfigError",
    ),
    Situation(
        name="runner_crashes",
        story="The runner ends as soon as it starts",
        change=script("echo no python; exit 3", runner=True),
        until=lambda seen: seen.down("runner") and seen.status("runner")["restartCount"] >= 2,
        seconds=90,
    ),
    Situation(
        name="runner_crashed_once",
        story="The runner ended once, while the other image was still on its way",
        change=together(script("echo no python; exit 3", runner=True), image("registry.test/slow/tool:1")),
        until=lambda seen: seen.down("runner") and seen.status("runner")["restartCount"] == 1,
    ),
    Situation(
        name="runner_not_startable",
        story="The runner's image has no Python",
        change=lambda job: job["spec"]["template"]["spec"]["initContainers"][0].update(
            command=["/nowhere/python3"]
        ),
        until=lambda seen: seen.down("runner") and seen.status("runner")["restartCount"] >= 2,
        seconds=90,
    ),
    Situation(
        name="preparing",
        story="The node prepares the containers",
        change=together(pods(nodeName="no-such-node")),
        until=lambda seen: bool(seen.pods),
    ),
)
