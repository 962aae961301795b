"""Images that can't be fetched, or not used."""

from __future__ import annotations

from recording.situation import NO_SHELL, Situation, image
from recording.things import ended

IMAGES: tuple[Situation, ...] = (
    Situation(
        name="image_absent",
        story="The registry has no such image",
        change=image("registry.test/absent/tool:1"),
        until=lambda seen: seen.waits("task") == "ImagePullBackOff",
    ),
    Situation(
        name="image_hidden",
        story="The registry wants a password",
        change=image("registry.test/hidden/tool:1"),
        until=lambda seen: seen.waits("task") == "ImagePullBackOff",
    ),
    Situation(
        name="image_limited",
        story="The registry is asked too often",
        change=image("registry.test/busy/tool:1"),
        until=lambda seen: seen.waits("task") == "ImagePullBackOff",
    ),
    Situation(
        name="registry_away",
        story="No registry answers there",
        change=image("10.244.255.1:5999/some/tool:1"),
        until=lambda seen: seen.waits("task") == "ImagePullBackOff",
    ),
    Situation(
        name="registry_unknown",
        story="Nobody knows a registry of that name",
        change=image("registry.invalid/some/tool:1"),
        until=lambda seen: seen.waits("task") == "ImagePullBackOff",
    ),
    Situation(
        name="image_name",
        story="The image's name isn't one",
        change=image("Some/Tool:1"),
        until=lambda seen: seen.waits("task") == "InvalidImageName",
    ),
    Situation(
        name="image_never",
        story="The image isn't on the node and may not be fetched",
        change=image("localhost/nowhere:1", policy="Never"),
        until=lambda seen: seen.waits("task") == "ErrImageNeverPull",
    ),
    Situation(
        name="image_slow",
        story="The image is on its way",
        change=image("registry.test/slow/tool:1"),
        until=lambda seen: seen.has_event("Pulling"),
    ),
    Situation(
        name="runner_image_absent",
        story="The image of the runner doesn't exist",
        change=lambda job: job["spec"]["template"]["spec"]["initContainers"][0].update(
            image="registry.test/absent/runner:1"
        ),
        until=lambda seen: seen.waits("runner") == "ImagePullBackOff",
    ),
    Situation(name="no_shell", story="The image has no shell", change=image(NO_SHELL), until=ended),
)
